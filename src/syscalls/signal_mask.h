// Signal sets as arguments, and calls that wait under another mask.
#pragma once
#include "kernel/signal/send.h"
#include "syscalls/syscalls.h"

namespace usk {

// A set of `size` bytes, which must be 8; SIGKILL and SIGSTOP are left out where masks are made.
inline Result<SignalSet> get_sigset(Task& t, UserPtr<const uint64_t> set, uint64_t size) {
  if (size != sizeof(SignalSet)) return Err(EINVAL);
  return TRY(t.mem().get(set));
}

// pselect(2), ppoll(2), epoll_pwait(2): blocks `mask` (if given) until the call ends. The old mask
// is kept so that a handler runs under `mask` and returns to the old one. First invocation only.
inline Result<void> swap_mask(Task& t, UserPtr<const uint64_t> mask, uint64_t size) {
  if (!mask) return {};
  const SignalSet set = TRY(get_sigset(t, mask, size));
  Lock lock(task_mutex);
  t.saved_mask = t.blocked;
  set_blocked(t, set);
  return {};
}

// Ends such a call: with a result at hand the old mask returns at once; after an interruption when
// a handler was chosen. Writes the time that is left where Linux does.
inline SyscallResult finish_masked_wait(Task& t, SyscallResult r, UserPtr<KernelTimespec> timeout) {
  if (r && std::holds_alternative<Block>(r->v_)) {
    Lock lock(task_mutex);
    if (!t.has_work()) return r;
  } else {
    Lock lock(task_mutex);
    if (t.saved_mask) {
      const SignalSet old = *std::exchange(t.saved_mask, std::nullopt);
      set_blocked(t, old);
    }
  }
  if (timeout && t.frame.deadline && !t.frame.deadline->infinite()) {
    const int64_t left =
        std::max<int64_t>(0, t.frame.deadline->ns - timer_service().now(CLOCK_MONOTONIC));
    (void)t.mem().put(timeout, {left / kNsPerSecond, left % kNsPerSecond});
  }
  return r;
}

}  // namespace usk
