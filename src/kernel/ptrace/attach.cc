#include "kernel/ptrace/attach.h"

#include <linux/capability.h>
#include <linux/ptrace.h>

#include "kernel/kernel.h"
#include "kernel/ptrace/stop.h"
#include "kernel/ptrace/yama.h"
#include "kernel/run/watched_calls.h"
#include "kernel/signal/send.h"
#include "kernel/task/access.h"
#include "kernel/task/exit.h"

namespace usk {
namespace {

void link(Task& tracer, Task& tracee, Ref<const Creds> creds, bool seized, uint32_t options)
    REQUIRES(task_mutex) {
  Tracing& tr = tracee.tracing;
  tr.tracer = &tracer;
  tr.tracer_creds = std::move(creds);
  tr.seized = seized;
  tr.options = options;
  tracee.traced = true;
  tracer.tracing.tracees.push_back(&tracee);
}

// The thread that wait4(2) and PTRACE_TRACEME take for the parent. Null: none that could trace.
Task* real_parent(Task& t) REQUIRES(task_mutex) {
  if (Task* thread = t.group->leader->parent_thread) return thread;
  return t.group->parent ? t.group->parent->leader : nullptr;
}

// The tracer goes away: what it did not get to see is the parent's.
void free_tracee(Task& tracer, Task& t) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  unlink_tracee(t);
  if (t.dead) return after_tracer(tracer, t);
  const bool stopping = g.stopped || g.threads_to_stop > 0;
  if (stopping && !t.exiting) t.group_stop_pending = true, t.interrupted = true;
  leave_stop(t);
  if (t.group_stop_pending) t.interrupted = true;
  watch_calls(t);
}

}  // namespace

Result<void> trace_me(Task& t) {
  Lock lock(task_mutex);
  if (t.traced || t.group->debugger) return Err(EPERM);
  Task* parent = real_parent(t);
  if (!parent || parent->exiting) return {};
  TRY(yama_allows_traceme(*parent, t));
  link(*parent, t, parent->creds, /*seized=*/false, 0);
  watch_calls(t);
  return {};
}

Result<void> check_options(const Task& tracer, uint32_t options) {
  // Nobody gets rid of filters that bind him by having another make his calls.
  const bool suspends = options & PTRACE_O_SUSPEND_SECCOMP;
  if (suspends && (!tracer.capable(CAP_SYS_ADMIN) || tracer.seccomp.is_on())) return Err(EPERM);
  return {};
}

Result<void> attach(Task& tracer, Task& target, bool seize, uint32_t options) {
  Lock lock(task_mutex);
  if (target.group.get() == tracer.group.get()) return Err(EPERM);
  if (!may_attach(tracer, target)) return Err(EPERM);
  if (target.exiting || target.dead || target.traced || !target.cpu || target.group->debugger) {
    return Err(EPERM);
  }
  link(tracer, target, tracer.creds, seize, options);
  watch_calls(target);
  if (!seize) (void)send_signal(target, kernel_siginfo(SIGSTOP), SignalScope::kTask);
  turn_group_stop_into_trap(target);
  return {};
}

void unlink_tracee(Task& t) {
  Tracing& tr = t.tracing;
  if (!tr.tracer) return;
  std::erase(tr.tracer->tracing.tracees, &t);
  tr.tracer = nullptr;
  tr.tracer_creds.reset();
  t.traced = false;
  tr.seized = false;
  tr.options = 0;
  tr.calls = Tracing::Calls::kRun;
  tr.step = Tracing::Step::kNone;
  tr.trap_stop = tr.trap_notify = false;
}

void detach(Task& t, int signal) {
  Task& tracer = *t.tracing.tracer;
  t.tracing.resume_signal = signal;
  free_tracee(tracer, t);
}

void detach_all(Task& tracer) {
  while (!tracer.tracing.tracees.empty()) {
    Task& t = *tracer.tracing.tracees.back();
    const bool kill = t.tracing.options & PTRACE_O_EXITKILL;
    if (kill && !t.dead) (void)send_signal(t, kernel_siginfo(SIGKILL), SignalScope::kTask);
    free_tracee(tracer, t);
  }
}

void inherit_tracer(Task& maker, Task& child) {
  const Tracing& tr = maker.tracing;
  if (!maker.traced) return;
  link(*tr.tracer, child, tr.tracer_creds, tr.seized, tr.options);
  if (tr.seized) {
    child.tracing.trap_stop = true;
  } else {
    child.pending.add(user_siginfo(SIGSTOP, SI_USER, 0, 0), /*with_info=*/false);
  }
  child.interrupted = true;
}

bool tracer_may_gain(const Task& t) {
  return !t.traced || t.tracing.tracer_creds->capable(CAP_SYS_PTRACE, *t.creds->user_ns);
}

}  // namespace usk
