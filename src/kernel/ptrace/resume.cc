#include "kernel/ptrace/resume.h"

#include <linux/ptrace.h>

#include "kernel/kernel.h"
#include "kernel/ptrace/attach.h"
#include "kernel/ptrace/stop.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

using Kind = PtraceStop::Kind;

// A signal that the tracer sends the tracee on its way with. After a stop at a call it is sent
// like any other; after other events it is nobody's.
void choose_signal(Task& t, int signal) REQUIRES(task_mutex) {
  if (t.tracing.stop->kind == Kind::kSyscall && signal) {
    (void)send_signal(t, kernel_siginfo(signal), SignalScope::kTask);
  }
  t.tracing.resume_signal = signal;
}

}  // namespace

Result<void> check_tracee(const Task& tracer, Task& t, bool stopped) {
  if (t.tracing.tracer != &tracer) return Err(ESRCH);
  if (!stopped) return {};
  if (!t.tracing.stop || t.tracing.stop->listening) return Err(ESRCH);
  return {};
}

Result<void> resume(Task& t, Tracing::Calls calls, Tracing::Step step, uint64_t signal) {
  if (signal > uint64_t(kSignals)) return Err(EIO);
  choose_signal(t, int(signal));
  t.tracing.calls = calls;
  t.tracing.step = step;
  leave_stop(t);
  return {};
}

Result<void> resume_detached(Task& t, uint64_t signal) {
  if (signal > uint64_t(kSignals)) return Err(EIO);
  choose_signal(t, int(signal));
  detach(t, int(signal));
  return {};
}

Result<void> interrupt(Task& t) {
  Tracing& tr = t.tracing;
  if (!tr.seized) return Err(EIO);
  if (t.exiting) return {};
  tr.trap_stop = true;
  if (tr.stop && !tr.stop->listening) return {};
  tr.stop.reset();
  t.interrupted = true;
  t.kernel.scheduler.kick(t);
  return {};
}

Result<void> listen(Task& t) {
  Tracing& tr = t.tracing;
  const auto& info = tr.stop->info;
  if (!tr.seized || !info || info->si_code >> 8 != PTRACE_EVENT_STOP) return Err(EIO);
  tr.stop->listening = true;
  if (!tr.trap_notify) return {};
  tr.stop.reset();
  t.interrupted = true;
  t.kernel.scheduler.kick(t);
  return {};
}

}  // namespace usk
