// How a tracer lets a stopped tracee go on: ptrace(2), PTRACE_CONT and its kin.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// The tracee, which `tracer` traces. ESRCH: it does not, or the tracee is not in a stop although
// `stopped` asks for one.
Result<void> check_tracee(const Task& tracer, Task& tracee, bool stopped) REQUIRES(task_mutex);

// Ends the stop with `signal` (0: none), to run on as the two say. EIO: no such signal.
Result<void> resume(Task& tracee, Tracing::Calls calls, Tracing::Step step, uint64_t signal)
    REQUIRES(task_mutex);
// PTRACE_DETACH. EIO: no such signal.
Result<void> resume_detached(Task& tracee, uint64_t signal) REQUIRES(task_mutex);
// PTRACE_INTERRUPT and PTRACE_LISTEN. EIO: not seized, or not in such a stop.
Result<void> interrupt(Task& tracee) REQUIRES(task_mutex);
Result<void> listen(Task& tracee) REQUIRES(task_mutex);

}  // namespace usk
