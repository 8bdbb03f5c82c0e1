// /dev/syd: what programs inside may say and ask of the policy (syd(2)).
#include <fmt/format.h>

#include "base/log.h"
#include "enforce/call.h"
#include "enforce/enforcer.h"
#include "host/file_io.h"

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

bool Enforcer::is_governed_by(const ThreadGroup& process) const {
  Lock lock(mu_);
  return policy_.lock() == LockState::kExec && first_.get() == &process;
}

// Standard error is the user's: text of a bounded policy, by whoever may change it.
static void show(std::string_view text) {
  auto rest = std::as_bytes(std::span(text));
  while (!rest.empty()) {
    const auto n = host::write(2, rest);
    if (!n) return;
    rest = rest.subspan(*n);
  }
}

std::optional<Result<void>> Enforcer::act(std::string_view text) {
  if (text == "ghost") {
    Lock lock(mu_);
    policy_.set_lock(LockState::kOn);
    ghost_ = true;
    return Result<void>();
  }
  if (text == "panic") {
    exit_code_ = 127;
    kernel_->kill_all();
    return Result<void>();
  }
  if (text == "dump" || text == "stat") {
    const policy::Policy p = policy();
    show(text == "dump" ? p.json() : p.summary());
    return Result<void>();
  }
  return std::nullopt;
}

policy::Parsed<> Enforcer::change(std::string_view text, const policy::Source& from,
                                  bool only_tighter) {
  const auto command = policy::parse_command(text);
  if (!command) return std::unexpected(command.error());
  Lock lock(mu_);
  if (only_tighter && !policy_.tightens(*command)) {
    return std::unexpected("under lock:drop it can only become stricter");
  }
  if (auto ok = policy_.apply(*command, from, text); !ok) return ok;
  refresh_locked();
  return {};
}

Result<void> Enforcer::obey(std::string_view text) {
  bool only_tighter = false;
  if (!may_command(only_tighter)) return Err(ENOENT);
  if (const auto done = act(text)) return *done;
  if (text.ends_with('?')) {
    Lock lock(mu_);
    const auto answer = policy_.query(text.substr(0, text.size() - 1));
    if (!answer) return Err(EINVAL);
    return *answer ? Result<void>() : Err(ENOENT);
  }
  if (change(text, {std::string(kPolicyDevice), 0}, only_tighter)) return {};
  return only_tighter && policy::parse_command(text) ? Err(EPERM) : Err(EINVAL);
}

OrFailure<void> Enforcer::tell(std::string_view text) {
  LockState state;
  {
    Lock lock(mu_);
    state = policy_.lock();
  }
  if (state == LockState::kOn || state == LockState::kRead) {
    return fail(fmt::format("the policy is locked (lock:{})", policy::name_of(state)));
  }
  if (text == "ghost") return fail("only a program inside can ask for ghost mode");
  if (act(text)) return {};
  const auto ok = change(text, {"usk policy tell", 0}, state == LockState::kDrop);
  if (!ok) return fail(ok.error());
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
