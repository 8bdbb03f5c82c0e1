// /dev/syd: what programs inside may say and ask of the policy (syd(2)).
#include <fmt/format.h>

#include "base/log.h"
#include "enforce/call.h"
#include "enforce/enforcer.h"

namespace usk {

using policy::LockState;

// Whether the caller may change the policy at all, and whether only to make it stricter.
bool Enforcer::may_command(bool& only_tighter) {
  LockState state;
  {
    Lock lock(mu_);
    state = policy_.lock();
  }
  only_tighter = state == LockState::kDrop;
  switch (state) {
    case LockState::kOff:
    case LockState::kDrop: return true;
    case LockState::kExec: return first_ && CurrentCall::now->task.group == first_;
    default: return false;
  }
}

Result<void> Enforcer::obey(std::string_view text) {
  bool only_tighter = false;
  if (!may_command(only_tighter)) return Err(ENOENT);
  if (text == "ghost") {
    Lock lock(mu_);
    policy_.set_lock(LockState::kOn);
    ghost_ = true;
    return {};
  }
  if (text == "panic") {
    exit_code_ = 127;
    CurrentCall::now->task.kernel.kill_all();
    return {};
  }
  Lock lock(mu_);
  if (text.ends_with('?')) {
    const auto answer = policy_.query(text.substr(0, text.size() - 1));
    if (!answer) return Err(EINVAL);
    return *answer ? Result<void>() : Err(ENOENT);
  }
  const auto command = policy::parse_command(text);
  if (!command) return Err(EINVAL);
  if (only_tighter && !policy_.tightens(*command)) return Err(EPERM);
  if (!policy_.apply(*command, {std::string(kPolicyDevice), 0}, text)) return Err(EINVAL);
  refresh_locked();
  return {};
}

std::optional<Result<void>> Enforcer::command(std::string_view path) {
  if (!path.starts_with(kPolicyDevice) || !CurrentCall::now) return std::nullopt;
  std::string_view rest = path.substr(kPolicyDevice.size());
  if (!rest.empty() && rest.front() != '/') return std::nullopt;
  if (!rest.empty()) rest.remove_prefix(1);
  if (!rest.empty()) return obey(rest);
  Lock lock(mu_);
  if (policy_.lock() == LockState::kOn) return Err(ENOENT);
  return Result<void>();
}

Result<std::string> Enforcer::state() {
  bool only_tighter = false;
  if (CurrentCall::now && may_command(only_tighter)) {
    Lock lock(mu_);
    return policy_.json();
  }
  Lock lock(mu_);
  if (policy_.lock() != LockState::kRead) return Err(ENOENT);
  return policy_.json();
}

}  // namespace usk
