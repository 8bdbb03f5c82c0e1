#include "boot/saved_policy.h"

#include <fmt/format.h>

#include "control/message.h"

namespace usk {

OrFailure<std::string> save_policy(const Enforcer& enforcer, const SandboxConfig& config) {
  if (config.learn) return fail("a sandbox of usk learn cannot be saved");
  const EnforcerState s = enforcer.state_to_save();
  return to_text({{"rules", enforcer.policy().saved()},
                  {"warn_only", config.policy_warn_only},
                  {"explain", config.explain},
                  {"audit", !config.audit_file.empty()},
                  {"ghost", s.ghost},
                  {"denials", s.denials},
                  {"frame_key", {s.frame_key.k0, s.frame_key.k1}}},
                 -1);
}

OrFailure<std::optional<EnforcerState>> restore_policy(SandboxConfig& config) {
  if (config.saved_policy.empty()) return std::nullopt;
  const auto json = parse_object(config.saved_policy);
  const auto is = [&](const char* name) {
    const auto it = json->find(name);
    return it != json->end() && *it == true;
  };
  if (!json) return fail("the image's policy is no JSON object");
  auto policy = policy::Policy::from_saved(text_of(*json, "rules"));
  if (!policy) return fail(fmt::format("the image's policy: {}", policy.error()));
  const auto key = json->find("frame_key");
  const bool has_key = key != json->end() && key->is_array() && key->size() == 2 &&
                       (*key)[0].is_number_unsigned() && (*key)[1].is_number_unsigned();
  if (!has_key) return fail("the image's policy: no key");
  if (is("audit") && config.audit_file.empty()) {
    return fail("the sandbox wrote an audit log; --audit=FILE says where it goes on");
  }
  config.policy = *std::move(policy);
  config.policy_warn_only = is("warn_only");
  config.explain = is("explain");
  EnforcerState s;
  s.ghost = is("ghost");
  s.denials = uint64_t(number_of(*json, "denials"));
  s.frame_key = {(*key)[0].get<uint64_t>(), (*key)[1].get<uint64_t>()};
  return s;
}

}  // namespace usk
