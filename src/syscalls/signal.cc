// rt_sigaction(2), rt_sigprocmask(2), rt_sigreturn(2), sigaltstack(2), rt_sigsuspend(2), pause(2),
// rt_sigpending(2), rt_sigtimedwait(2).
#include "arch/x86_64/signal_frame.h"
#include "kernel/kernel.h"
#include "kernel/signal/deliver.h"
#include "kernel/time/posix_timers.h"
#include "state/saved.h"
#include "syscalls/signal_mask.h"
#include "syscalls/time_args.h"

namespace usk::sys {

SyscallResult rt_sigaction(Task& t, SignalNr sig, UserPtr<const KernelSigaction> act,
                           UserPtr<KernelSigaction> old, uint64_t size) {
  if (size != sizeof(SignalSet)) return Err(EINVAL);
  if (sig.n < 1 || sig.n > kSignals) return Err(EINVAL);
  if (act && (signal_bit(sig.n) & kUnblockable)) return Err(EINVAL);
  std::optional<KernelSigaction> next;
  if (act) next = TRY(t.mem().get(act));
  SignalAction was;
  {
    Lock lock(task_mutex);
    SignalAction& a = t.group->handlers->of(sig.n);
    was = a;
    if (next) {
      a = {next->handler, next->flags, next->restorer, next->mask & ~kUnblockable};
      // A signal that is ignored from now on is forgotten, even a blocked one: POSIX.
      if (a.is_ignore() || (a.is_default() && default_action(sig.n) == DefaultAction::kIgnore)) {
        t.group->pending.discard(signal_bit(sig.n));
        for (Task* other : t.group->tasks) other->pending.discard(signal_bit(sig.n));
      }
    }
  }
  if (old) TRY(t.mem().put(old, {was.handler, was.flags, was.restorer, was.mask}));
  return 0;
}

SyscallResult rt_sigprocmask(Task& t, int32_t how, UserPtr<const uint64_t> set,
                             UserPtr<uint64_t> old, uint64_t size) {
  if (size != sizeof(SignalSet)) return Err(EINVAL);
  std::optional<SignalSet> change;
  if (set) change = TRY(t.mem().get(set));
  SignalSet was;
  {
    Lock lock(task_mutex);
    was = t.blocked;
    if (change) {
      switch (how) {
        case SIG_BLOCK: set_blocked(t, was | *change); break;
        case SIG_UNBLOCK: set_blocked(t, was & ~*change); break;
        case SIG_SETMASK: set_blocked(t, *change); break;
        default: return Err(EINVAL);
      }
    }
  }
  if (old) TRY(t.mem().put(old, was));
  return 0;
}

SyscallResult rt_sigreturn(Task& t) {
  const auto mask = pop_handler_frame(t);
  Lock lock(task_mutex);
  if (mask) set_blocked(t, *mask);
  // The return to a place that is none faults there.
  const bool faults = !mask || !is_canonical(t.cpu->regs().rip);
  if (faults && !t.fatal_signal_pending()) force_signal(t, kernel_siginfo(SIGSEGV));
  return RegistersSet{};
}

SyscallResult sigaltstack(Task& t, UserPtr<const KernelStack> stack, UserPtr<KernelStack> old) {
  constexpr int kAutoDisarm = int(1u << 31);
  constexpr uint64_t kMinStack = 2048;  // MINSIGSTKSZ of x86-64
  std::optional<KernelStack> next;
  if (stack) next = TRY(t.mem().get(stack));
  const bool inside = on_alt_stack(t.alt_stack, t.cpu->regs().sp());
  KernelStack was{t.alt_stack.addr, t.alt_stack.flags, 0, t.alt_stack.size};
  if (t.alt_stack.size) was.flags = (inside ? SS_ONSTACK : 0) | (t.alt_stack.flags & kAutoDisarm);
  if (next) {
    if (inside) return Err(EPERM);
    const int mode = next->flags & ~kAutoDisarm;
    if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE) return Err(EINVAL);
    if (mode == SS_DISABLE) {
      t.alt_stack = AltStack{};
    } else {
      if (next->size < kMinStack) return Err(ENOMEM);
      t.alt_stack = {next->addr, next->size, next->flags & kAutoDisarm};
    }
  }
  if (old) TRY(t.mem().put(old, was));
  return 0;
}

SyscallResult rt_sigsuspend(Task& t, UserPtr<const uint64_t> mask, uint64_t size) {
  if (t.frame.first) {
    const SignalSet set = TRY(get_sigset(t, mask, size));
    Lock lock(task_mutex);
    t.saved_mask = t.blocked;
    set_blocked(t, set);
  }
  return Block{.on_signal = OnSignal::kNoHand};
}

SyscallResult pause(Task&) { return Block{.on_signal = OnSignal::kNoHand}; }

SyscallResult rt_sigpending(Task& t, UserPtr<uint64_t> set, uint64_t size) {
  if (size > sizeof(SignalSet)) return Err(EINVAL);
  SignalSet pending;
  {
    Lock lock(task_mutex);
    pending = (t.pending.set() | t.group->pending.set()) & t.blocked;
  }
  TRY(t.mem().copy_out(set.addr, std::as_bytes(std::span(&pending, 1)).first(size)));
  return 0;
}

namespace {

struct TimedWait {
  SignalSet wanted = 0;
  USK_FIELDS(wanted)
};
USK_SAVED(TimedWait, "syscalls/timed-wait")

}  // namespace

SyscallResult rt_sigtimedwait(Task& t, UserPtr<const uint64_t> set, UserPtr<siginfo_t> info,
                              UserPtr<const KernelTimespec> timeout, uint64_t size) {
  SignalSet& wanted = t.extra<TimedWait>().wanted;
  if (t.frame.first) {
    wanted = TRY(get_sigset(t, set, size)) & ~kUnblockable;
    t.deadline(TRY(get_timeout(t, timeout)));
  }
  std::optional<siginfo_t> got;
  {
    Lock lock(task_mutex);
    got = t.pending.take(wanted);
    if (!got) got = t.group->pending.take(wanted);
    // Where it waits, a blocked one of these wakes the task, too.
    const bool waits = !got && !t.timed_out() && !t.has_work();
    const SignalSet was = std::exchange(t.awaited, waits ? wanted : 0);
    pass_on_signals(t, was & ~t.awaited & t.blocked);
    t.recalc_interrupted();
  }
  if (got) {
    if (got->si_code == SI_TIMER) got->si_overrun = t.group->timers->delivered(got->si_timerid);
    if (info) TRY(t.mem().put(info, *got));
    return got->si_signo;
  }
  if (t.timed_out()) return Err(EAGAIN);
  return Block{*t.frame.deadline, OnSignal::kInterrupt};
}

}  // namespace usk::sys
