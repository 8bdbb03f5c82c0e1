#include "kernel/ptrace/stop.h"

#include <linux/ptrace.h>
#include <sys/wait.h>

#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "kernel/task/exit.h"

namespace usk {
namespace {

using Kind = PtraceStop::Kind;

bool is_stop_event(int code) { return code >> 8 == PTRACE_EVENT_STOP; }

// As SIGCHLD tells it; wait4(2) shows more.
void notify_tracer(Task& t, int why) REQUIRES(task_mutex) {
  ThreadGroup& to = *t.tracing.tracer->group;
  const SignalAction& a = to.handlers->of(SIGCHLD);
  if (!a.is_ignore() && !(a.flags & SA_NOCLDSTOP) && has_use_for(to, SIGCHLD)) {
    const int status = why == CLD_STOPPED ? t.group->stop_signal : t.tracing.stop->code;
    (void)send_group_signal(to, child_siginfo(t, thread_usage(t), to, why, status & 0x7f));
  }
  to.child_events.wake(POLLIN);
}

void enter_stop(Task& t, PtraceStop stop, int why, uint64_t message) REQUIRES(task_mutex) {
  Tracing& tr = t.tracing;
  bool group_stopped = false;
  if (why == CLD_STOPPED && t.group_stop_pending) group_stopped = join_group_stop(t);
  tr.trap_stop = false;
  if (stop.info && is_stop_event(stop.info->si_code)) tr.trap_notify = false;
  tr.unreported = stop.code;
  tr.resume_signal = 0;
  tr.message = message;
  tr.stop = std::move(stop);
  t.may_be_stopped = true;
  notify_tracer(t, why);
  if (group_stopped && is_reparented(t)) notify_parent(*t.group, CLD_STOPPED, t.group->stop_signal);
}

// A stop that the kernel makes up a siginfo for: its code is the stop's own.
bool trap(Task& t, Kind kind, int signal, int code, int why, uint64_t message)
    REQUIRES(task_mutex) {
  if (!t.traced) return false;
  siginfo_t info = user_siginfo(signal, code, t.tid(), t.creds->user_ns->uid_out(t.creds->uid));
  enter_stop(t, {.kind = kind, .code = code, .info = info}, why, message);
  return true;
}

}  // namespace

bool is_reparented(const Task& t) {
  return t.tracing.tracer && t.tracing.tracer->group.get() != t.group->parent;
}

bool stop_for_signal(Task& t, const siginfo_t& info) {
  if (!t.traced || info.si_signo == SIGKILL || t.fatal_signal_pending()) return false;
  if (t.hidden_signals & signal_bit(info.si_signo)) return false;
  t.stop_dequeued = true;
  enter_stop(t, {.kind = Kind::kSignalDelivery, .code = info.si_signo, .info = info}, CLD_TRAPPED,
             0);
  return true;
}

bool stop_for_event(Task& t, int event, uint64_t message) {
  if (!t.tracing.wants(event)) {
    if (event == PTRACE_EVENT_EXEC && t.traced && !t.tracing.seized) {
      (void)send_signal(t, user_siginfo(SIGTRAP, SI_USER, t.tgid(), t.creds->uid),
                        SignalScope::kTask);
    }
    return false;
  }
  if (event != PTRACE_EVENT_EXIT && t.fatal_signal_pending()) return false;
  return trap(t, Kind::kEvent, SIGTRAP, SIGTRAP | event << 8, CLD_TRAPPED, message);
}

bool stop_for_event(Task& t, int event, const Pid& id) {
  const Task* tracer = t.tracing.tracer;
  return stop_for_event(t, event, tracer ? uint64_t(id.nr_in(tracer->pid_ns())) : 0);
}

bool stop_for_call(Task& t, CallSide side) {
  const Tracing& tr = t.tracing;
  if (tr.calls == Tracing::Calls::kRun || t.fatal_signal_pending()) return false;
  const int mark = tr.options & PTRACE_O_TRACESYSGOOD ? 0x80 : 0;
  return trap(
      t, Kind::kSyscall, SIGTRAP, SIGTRAP | mark, CLD_TRAPPED,
      side == CallSide::kEnter ? PTRACE_EVENTMSG_SYSCALL_ENTRY : PTRACE_EVENTMSG_SYSCALL_EXIT);
}

bool stop_for_step(Task& t) {
  if (t.tracing.step == Tracing::Step::kNone || t.fatal_signal_pending()) return false;
  return trap(t, Kind::kEvent, SIGTRAP, SIGTRAP, CLD_TRAPPED, 0);
}

bool wants_group_trap(const Task& t) { return t.tracing.trap_stop || t.tracing.trap_notify; }

void stop_for_group(Task& t) {
  const ThreadGroup& g = *t.group;
  if (t.fatal_signal_pending()) return;
  const bool stopping = g.stopped || g.threads_to_stop > 0 || t.group_stop_pending;
  if (t.tracing.seized) {
    const int signal = stopping ? t.group_stop_signal : SIGTRAP;
    trap(t, Kind::kGroup, signal, signal | PTRACE_EVENT_STOP << 8, CLD_STOPPED, 0);
    return;
  }
  const int signal = t.group_stop_signal ? t.group_stop_signal : SIGSTOP;
  enter_stop(t, {.kind = Kind::kGroup, .code = signal, .info = {}}, CLD_STOPPED, 0);
}

void notify_seized(Task& t) {
  Tracing& tr = t.tracing;
  if (t.exiting) return;
  tr.trap_notify = true;
  if (tr.stop && !tr.stop->listening) return;  // It traps again once it is resumed.
  tr.stop.reset();
  t.interrupted = true;
  t.kernel.scheduler.kick(t);
}

void turn_group_stop_into_trap(Task& t) {
  if (!t.in_group_stop) return;
  t.in_group_stop = false;
  stop_for_group(t);
}

void leave_stop(Task& t) {
  Tracing& tr = t.tracing;
  if (!tr.stop) return;
  if (tr.stop->kind == Kind::kSignalDelivery) tr.signal_shown = *tr.stop->info;
  tr.stop.reset();
  tr.message = 0;
  tr.unreported = 0;
  // It may have to look at the result of a call as well, which nothing pending tells.
  if (t.has_work()) t.interrupted = true;
  t.kernel.scheduler.kick(t);
}

}  // namespace usk
