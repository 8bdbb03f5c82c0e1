// The states of a system call, from its trap to its result.
#include <linux/ptrace.h>

#include "base/heartbeat.h"
#include "base/log.h"
#include "kernel/debug/session.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/stop.h"
#include "kernel/run/seccomp_states.h"
#include "kernel/run/syscall_states.h"
#include "kernel/signal/send.h"
#include "kernel/task/exec.h"

namespace usk {

int restart_code(OnSignal on_signal) {
  switch (on_signal) {
    case OnSignal::kNoIntr: return -kERESTARTNOINTR;
    case OnSignal::kRestartSys: return -kERESTARTSYS;
    case OnSignal::kNoHand: return -kERESTARTNOHAND;
    case OnSignal::kRestartBlock: return -kERESTART_RESTARTBLOCK;
    case OnSignal::kAgain: return -EAGAIN;
    case OnSignal::kInterrupt: return -EINTR;
  }
  return -EINTR;
}

Step Syscall::run(Task& t) {
  add_to<uint64_t>(t.kernel.counters.syscalls, 1);
  if (t.kernel.hooks.on_call) t.kernel.hooks.on_call();
  // What a tracer at an enter-stop sees as the result so far.
  t.cpu->set_result(-ENOSYS);
  if (t.frame.begun) return SyscallEnter{};
  if (t.dispatch.on && seccomp::dispatch_to_user(t)) return App{};
  if (t.kernel.options().stop_order == StopOrder::k35) return run_filters(t, FilterRun::kFirst);
  return SyscallEnter{};
}

bool is_dying(Task& t) {
  Lock lock(task_mutex);
  return t.fatal_signal_pending();
}

bool reread_call(Task& t) {
  t.cpu->forget_copies();
  const Regs& regs = t.cpu->regs();
  t.frame.begin(uint32_t(regs.orig_rax), regs.syscall_args());
  return int32_t(regs.orig_rax) >= 0;
}

RunState skip_call(Task& t) {
  t.frame.registers_set = true;
  return SyscallExit{};
}

namespace {

RunState after_enter(Task& t) {
  if (t.kernel.options().stop_order == StopOrder::k35) return SyscallInvoke{};
  return SyscallSeccomp{};
}

}  // namespace

Step SyscallEnter::run(Task& t) {
  if (!t.traced || t.frame.begun) return after_enter(t);  // Begun before anybody watched.
  Lock lock(task_mutex);
  if (!stop_for_call(t, CallSide::kEnter)) return after_enter(t);
  if (t.tracing.calls == Tracing::Calls::kEmulate) return SyscallAfterSysemuStop{};
  return SyscallAfterSyscallEnterStop{};
}

Step SyscallAfterSyscallEnterStop::run(Task& t) {
  if (is_dying(t)) return App{};
  return reread_call(t) ? after_enter(t) : skip_call(t);
}

Step SyscallAfterSysemuStop::run(Task& t) {
  if (is_dying(t)) return App{};
  return skip_call(t);
}

namespace {

// A wait that a signal ends: what was done so far counts more than the interruption.
int64_t interrupted_result(Task& t, OnSignal on_signal) {
  if (t.frame.progress > 0) return t.frame.progress;
  return restart_code(on_signal);
}

// Whether the wait ends before it begins.
bool is_interrupted(Task& t, bool killable_only) {
  Lock lock(task_mutex);
  bool end = killable_only ? t.fatal_signal_pending() : t.has_work();
  if (t.group->debugger && t.group->debugger->ends_call(t)) end = true;
  // A signal of the whole process may have been meant for another thread, which did not come to
  // it yet: this one looks, too, since only Interrupt makes an end of restart codes.
  if (end) t.interrupted = true;
  return end;
}

Step interrupted(Task& t, OnSignal on_signal) {
  t.waits().give_up();
  t.frame.result = interrupted_result(t, on_signal);
  return SyscallExit{};
}

Step blocked(Task& t, const Block& block) {
  if (is_interrupted(t, block.killable_only)) return interrupted(t, block.on_signal);
  return Park{SyscallReinvoke{}, block.until};
}

Step waits_in_guest(Task& t, const GuestWait& wait) {
  if (is_interrupted(t, /*killable_only=*/false)) return interrupted(t, wait.on_signal);
  if (!t.kernel.scheduler.enter_guest(t)) return SyscallReinvoke{};
  t.mm->bring(*t.cpu, wait.addr, sizeof wait.value);
  t.cpu->wait_futex(wait.addr, wait.value, wait.bitset,
                    t.kernel.time.to_host(t.frame.deadline.value_or(Deadline{})));
  return InGuest{SyscallReinvoke{}};
}

}  // namespace

Step SyscallInvoke::run(Task& t) {
  beat_call(t.frame.nr);
  SyscallResult r = t.kernel.hooks.invoke(t, t.frame);
  const bool first = std::exchange(t.frame.first, false);
  if (!r) {
    t.waits().clear();
    t.frame.result = -int64_t(r.error());
    return SyscallExit{};
  }
  if (auto* block = std::get_if<Block>(&r->v_)) {
    if (first && t.kernel.hooks.on_block) t.kernel.hooks.on_block();
    return blocked(t, *block);
  }
  if (auto* wait = std::get_if<GuestWait>(&r->v_)) return waits_in_guest(t, *wait);
  t.waits().clear();
  if (auto* value = std::get_if<int64_t>(&r->v_)) {
    t.frame.result = *value;
  } else if (auto* s = std::get_if<Signalled>(&r->v_)) {
    t.frame.result = interrupted_result(t, s->on_signal);
    t.interrupted = true;
  } else if (std::holds_alternative<RegistersSet>(r->v_)) {
    t.frame.registers_set = true;
  } else {
    return std::get<RunState>(r->v_);
  }
  return SyscallExit{};
}

Step SyscallReinvoke::run(Task& t) {
  t.cpu->forget_copies();
  t.waits().clear();
  if (t.park_timer) {
    t.kernel.time.disarm(*t.park_timer);
    t.park_timer.reset();
  }
  return SyscallInvoke{};
}

Step SyscallAfterExecStop::run(Task& t) {
  {
    Lock lock(task_mutex);
    if (t.group->exiting) return App{};
  }
  commit_exec(t);
  return SyscallExit{};
}

Step SyscallAfterPtraceEventClone::run(Task& t) {
  Lock lock(task_mutex);
  if (t.vfork_pid) return SyscallAfterVforkStop{};
  return SyscallExit{};
}

Step SyscallAfterVforkStop::run(Task& t) {
  Lock lock(task_mutex);
  t.vfork_child = nullptr;  // It has gone its way, or this task was killed.
  const Ref<Pid> child = std::exchange(t.vfork_pid, {});
  stop_for_event(t, PTRACE_EVENT_VFORK_DONE, *child);
  return SyscallExit{};
}

namespace {

// The call has its result, and the tracer may want to look at it before guest code or a signal
// handler does.
void show_exit(Task& t) EXCLUDES(task_mutex) {
  Lock lock(task_mutex);
  if (t.tracing.step != Tracing::Step::kNone) {
    force_signal(t, fault_siginfo(SIGTRAP, TRAP_BRKPT, t.cpu->regs().rip));
  } else if (t.tracing.calls == Tracing::Calls::kStop) {
    stop_for_call(t, CallSide::kExit);
  }
}

}  // namespace

Step SyscallExit::run(Task& t) {
  if (const auto& observers = t.kernel.hooks.observers; !observers.empty()) {
    const int64_t shown = t.frame.registers_set ? t.cpu->regs().result() : t.frame.result;
    for (CallObserver* o : observers) o->left(t, t.frame, shown);
  }
  if (!t.frame.registers_set) t.cpu->set_result(t.frame.result);
  // What the call held on to (files above all) is let go before guest code runs on.
  t.frame.pins.clear();
  t.frame.extra.reset();
  if (t.traced) show_exit(t);
  if (t.group->debugger) t.group->debugger->call_ended(t);
  return App{};
}

}  // namespace usk
