// What becomes of a call that a rule matches: syd(7), "SANDBOXING".
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace usk::policy {

// In order of severity: a policy that may only be made stricter goes upwards.
enum class Action : uint8_t {
  kAllow,
  kWarn,    // Allowed, and reported.
  kFilter,  // Denied, and not reported.
  kDeny,    // Denied and reported, as everything below.
  kPanic,   // Here the same as deny: no thread of ours belongs to the call.
  kStop,    // SIGSTOP to the process.
  kAbort,   // SIGABRT, which it may catch.
  kKill,    // SIGKILL.
  kExit,    // The whole sandbox ends, with the error.
};

std::string_view name_of(Action a);
std::optional<Action> parse_action(std::string_view name);

constexpr bool allows(Action a) { return a <= Action::kWarn; }
constexpr bool reports(Action a) { return a != Action::kAllow && a != Action::kFilter; }

}  // namespace usk::policy
