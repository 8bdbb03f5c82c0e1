// The state Interrupt: kill, stop and signals, one at a time.
#include "kernel/signal/deliver.h"

#include "base/log.h"
#include "kernel/core/core_dump.h"
#include "kernel/debug/session.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/stop.h"
#include "kernel/signal/rseq.h"
#include "kernel/signal/send.h"
#include "kernel/time/posix_timers.h"

namespace usk {
namespace {

// What the look at signals found.
struct Found {
  enum What { kNothing, kExit, kAgain, kDump, kTracer, kHandler } what = kNothing;
  siginfo_t info;
  SignalAction action;
  SignalSet return_mask = 0;
};

std::optional<siginfo_t> dequeue(Task& t) REQUIRES(task_mutex) {
  const SignalSet allowed = ~t.blocked;
  t.tracing.signal_scope = SignalScope::kTask;
  if (auto info = t.pending.take_fault(allowed)) return info;
  if (auto info = t.pending.take(allowed)) return info;
  t.tracing.signal_scope = SignalScope::kGroup;
  return t.group->pending.take(allowed);
}

Found::What default_effect(Task& t, const siginfo_t& info) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  const int sig = info.si_signo;
  const bool forced = t.forced_signals & signal_bit(sig);
  t.forced_signals &= ~signal_bit(sig);
  if (g.pid->ns().init == &g && !forced) return Found::kAgain;
  switch (default_action(sig)) {
    case DefaultAction::kIgnore:
    case DefaultAction::kContinue: return Found::kAgain;
    case DefaultAction::kStop: begin_group_stop(t, sig); return Found::kAgain;
    case DefaultAction::kTerminate: begin_group_exit(g, sig); return Found::kAgain;
    case DefaultAction::kCore: kill_group(t, info); return Found::kAgain;
  }
  return Found::kAgain;
}

// A group-stop that the task is to join, or a stop that its tracer wants. True: it is in one now.
bool stop(Task& t) REQUIRES(task_mutex) {
  if (t.group_stop_pending && !t.traced) {
    t.in_group_stop = true;
    t.may_be_stopped = true;
    if (join_group_stop(t)) notify_parent(*t.group, CLD_STOPPED, t.group->stop_signal);
    return true;
  }
  if (!t.group_stop_pending && !wants_group_trap(t)) return false;
  stop_for_group(t);
  return true;
}

// What becomes of a signal that was taken from the queue and that no tracer holds back.
Found act_on(Task& t, const siginfo_t& info) REQUIRES(task_mutex) {
  Found f;
  f.info = info;
  SignalAction& action = t.group->handlers->of(info.si_signo);
  f.action = action;
  if (action.is_ignore()) {
    f.what = Found::kAgain;
  } else if (action.is_default()) {
    f.what = default_effect(t, info);
  } else {
    f.what = Found::kHandler;
    f.return_mask = t.saved_mask.value_or(t.blocked);
    t.forced_signals &= ~signal_bit(info.si_signo);
    if (action.flags & SA_RESETHAND) action = SignalAction{};
  }
  return f;
}

Found look(Task& t) EXCLUDES(task_mutex) {
  Lock lock(task_mutex);
  Found f{.what = Found::kAgain};
  ThreadGroup& g = *t.group;
  if (g.exiting || t.killed_by_exec) {
    if (g.exiting) t.exit_status = g.exit_status;
    f.what = g.core_dump && g.core_dump->is_by(t) ? Found::kDump : Found::kExit;
    return f;
  }
  if (stop(t)) return f;
  auto info = dequeue(t);
  if (info) {
    if (signal_bit(info->si_signo) & kStopSignals) t.stop_dequeued = true;
    const bool held = g.debugger && g.debugger->shows_signal(t, *info);
    if (!held && !stop_for_signal(t, *info)) return act_on(t, *info);
    f.what = Found::kTracer;
    return f;
  }
  if (t.saved_mask) {
    set_blocked(t, *std::exchange(t.saved_mask, std::nullopt));
    if (t.interrupted) return f;
  }
  t.recalc_interrupted();
  f.what = Found::kNothing;
  return f;
}

// What the tracer made of the signal that it was shown. Nothing: it holds it back, or the task
// blocks it by now.
std::optional<siginfo_t> tracers_choice(Task& t) REQUIRES(task_mutex) {
  Tracing& tr = t.tracing;
  const int sig = std::exchange(tr.resume_signal, 0);
  siginfo_t info = tr.signal_shown;
  if (!sig || t.fatal_signal_pending()) return std::nullopt;
  if (info.si_signo != sig) {
    const Task* from = tr.tracer;
    info = user_siginfo(sig, SI_USER, from ? sender_pid(*from, t) : 0,
                        from ? t.creds->user_ns->uid_out(from->creds->uid) : 0);
  }
  if (t.blocked & signal_bit(sig)) {
    (void)send_signal(t, info, tr.signal_scope);
    return std::nullopt;
  }
  return info;
}

void run_handler(Task& t, const Found& f) {
  restart_or_fail_syscall(t, /*handler=*/true, f.action.flags & SA_RESTART);
  const bool ok =
      leave_critical_section(t) && push_handler_frame(t, f.info, f.action, f.return_mask);
  Lock lock(task_mutex);
  if (!ok) {
    // The stack is unusable: SIGSEGV, which cannot be handled there either.
    if (f.info.si_signo == SIGSEGV) t.group->handlers->of(SIGSEGV) = SignalAction{};
    force_signal(t, kernel_siginfo(SIGSEGV));
    return;
  }
  t.saved_mask.reset();
  SignalSet mask = t.blocked | f.action.mask;
  if (!(f.action.flags & SA_NODEFER)) mask |= signal_bit(f.info.si_signo);
  set_blocked(t, mask);
  stop_for_step(t);
  if (t.group->debugger) t.group->debugger->handler_begins(t);
}

}  // namespace

namespace {

Step follow(Task& t, Found f) {
  if (f.what == Found::kHandler && f.info.si_code == SI_TIMER) {
    f.info.si_overrun = t.group->timers->delivered(f.info.si_timerid);
  }
  switch (f.what) {
    case Found::kExit: return Exit{};
    case Found::kAgain: return Interrupt{};
    case Found::kTracer: return InterruptAfterSignalDeliveryStop{};
    case Found::kDump: return DumpCore{};
    case Found::kHandler:
      for (CallObserver* o : t.kernel.hooks.observers) o->signalled(t, f.info);
      run_handler(t, f);
      return Interrupt{};
    case Found::kNothing: break;
  }
  restart_or_fail_syscall(t, /*handler=*/false, false);
  return App{};
}

}  // namespace

Step Interrupt::run(Task& t) { return follow(t, look(t)); }

Step InterruptAfterSignalDeliveryStop::run(Task& t) {
  Found f{.what = Found::kAgain};
  {
    Lock lock(task_mutex);
    if (auto info = tracers_choice(t)) f = act_on(t, *info);
  }
  return follow(t, f);
}

}  // namespace usk
