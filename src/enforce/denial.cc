#include "enforce/denial.h"

#include <fmt/format.h>
#include <string.h>

namespace usk {

std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = uint8_t(c);
    // The bytes of C1 controls, too, which some terminals obey.
    const bool plain = byte >= 32 && byte != 127 && (byte < 0x80 || byte >= 0xa0);
    if (plain) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", byte);
    }
  }
  return out;
}

std::string Denial::text() const {
  std::string who = "the sandbox";
  if (!tree.empty()) who = fmt::format("{}[{}]", one_line(tree[0].comm), tree[0].pid);
  const std::string_view what = allowed ? "warning" : "denied";
  std::string out =
      fmt::format("{} #{}: {} {} {} \"{}\"", what, id, who, call, category, one_line(object));
  if (!allowed) out += fmt::format(" ({})", strerrorname_np(error));
  out += rule.empty() ? ": no rule allows it"
                      : fmt::format(": {} {}", one_line(source), one_line(rule));
  if (action != policy::Action::kDeny && action != policy::Action::kWarn) {
    out += fmt::format(" [{}]", policy::name_of(action));
  }
  if (!hint.empty()) out += fmt::format("; to allow it: {}", one_line(hint));
  return out;
}

nlohmann::ordered_json Denial::json() const {
  nlohmann::ordered_json out;
  out["id"] = id;
  out["time"] = fmt::format("{}.{:09}", time.tv_sec, time.tv_nsec);
  out["pid"] = tree.empty() ? 0 : tree[0].pid;
  out["ppid"] = tree.size() < 2 ? 0 : tree[1].pid;
  out["comm"] = tree.empty() ? "" : tree[0].comm;
  out["tree"] = nlohmann::ordered_json::array();
  for (const Process& p : tree) out["tree"].push_back({{"pid", p.pid}, {"comm", p.comm}});
  out["call"] = call;
  out["category"] = category;
  out["object"] = object;
  out["action"] = policy::name_of(action);
  out["decision"] = allowed ? "allowed" : "denied";
  if (!allowed) out["error"] = strerrorname_np(error);
  out["rule"] = rule;
  out["source"] = source;
  if (!hint.empty()) out["hint"] = hint;
  return out;
}

}  // namespace usk
