#include "kernel/seccomp/actions.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <array>

#include "state/singletons.h"

namespace usk::seccomp {
namespace {

struct Action {
  uint32_t value;
  std::string_view name;
};
constexpr std::array<Action, 8> kActions = {{{SECCOMP_RET_KILL_PROCESS, "kill_process"},
                                             {SECCOMP_RET_KILL_THREAD, "kill_thread"},
                                             {SECCOMP_RET_TRAP, "trap"},
                                             {SECCOMP_RET_ERRNO, "errno"},
                                             {SECCOMP_RET_USER_NOTIF, "user_notif"},
                                             {SECCOMP_RET_TRACE, "trace"},
                                             {SECCOMP_RET_LOG, "log"},
                                             {SECCOMP_RET_ALLOW, "allow"}}};
static_assert(kAllActions == (1u << kActions.size()) - 1);
static_assert(kAllowAction == 1u << (kActions.size() - 1));

}  // namespace

std::string_view action_name(uint32_t action) {
  for (const Action& a : kActions) {
    if (a.value == action) return a.name;
  }
  return {};
}

std::string action_names(ActionSet set) {
  std::string out;
  for (size_t i = 0; i < kActions.size(); i++) {
    if (!(set >> i & 1)) continue;
    if (!out.empty()) out += ' ';
    out += kActions[i].name;
  }
  return out;
}

std::optional<ActionSet> actions_of(std::string_view names) {
  ActionSet set = 0;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(' '));
    names.remove_prefix(std::min(names.size(), name.size() + 1));
    if (name.empty()) continue;
    size_t i = 0;
    while (i < kActions.size() && kActions[i].name != name) i++;
    if (i == kActions.size()) return std::nullopt;
    set |= 1u << i;
  }
  return set;
}

LoggedActions& logged_actions() {
  static LoggedActions actions;
  return actions;
}

USK_SINGLETON(logged_actions, "seccomp-actions")

bool is_logged(uint32_t action, bool asked) {
  const ActionSet set = logged_actions().set.load(std::memory_order_relaxed);
  for (size_t i = 0; i < kActions.size(); i++) {
    if (kActions[i].value != action) continue;
    const bool always = action == SECCOMP_RET_LOG || action == SECCOMP_RET_KILL_THREAD ||
                        action == SECCOMP_RET_KILL_PROCESS;
    return (set >> i & 1) && (always || asked);
  }
  return set & 1;  // An unknown one kills the process.
}

}  // namespace usk::seccomp
