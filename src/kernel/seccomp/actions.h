// The names of verdicts: /proc/sys/kernel/seccomp.
#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fields.h"

namespace usk::seccomp {

// "kill_process", "errno"...; empty: there is no such action.
std::string_view action_name(uint32_t action);

// A set of actions as a line of their names, the strictest first, and back. Nothing: a name is
// unknown.
using ActionSet = uint32_t;
constexpr ActionSet kAllActions = 0xff;
constexpr ActionSet kAllowAction = 0x80;
std::string action_names(ActionSet set);
std::optional<ActionSet> actions_of(std::string_view names);

// Which are to be logged, where messages are (usk run -v).
struct LoggedActions {
  std::atomic<ActionSet> set{kAllActions & ~kAllowAction};
  USK_FIELDS(set)
};
LoggedActions& logged_actions();
// Whether this one is: those that kill and SECCOMP_RET_LOG always, others where the filter asks for
// it (SECCOMP_FILTER_FLAG_LOG).
bool is_logged(uint32_t action, bool asked);

}  // namespace usk::seccomp
