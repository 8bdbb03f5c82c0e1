// Who traces whom: the beginning and the end of it. ptrace(2), "Attaching and detaching".
#pragma once
#include "kernel/task/task.h"

namespace usk {

// PTRACE_TRACEME: the parent becomes the tracer. EPERM.
Result<void> trace_me(Task& t) EXCLUDES(task_mutex);
// PTRACE_ATTACH; `seize`: PTRACE_SEIZE, with options. EPERM.
Result<void> attach(Task& tracer, Task& target, bool seize, uint32_t options) EXCLUDES(task_mutex);
// Whether the tracer may set those PTRACE_O_* bits. EPERM.
Result<void> check_options(const Task& tracer, uint32_t options);
// PTRACE_DETACH of a stopped tracee, which goes on with `signal`.
void detach(Task& tracee, int signal) REQUIRES(task_mutex);
// The tracer ends: its tracees are free, or killed (PTRACE_O_EXITKILL).
void detach_all(Task& tracer) REQUIRES(task_mutex);
// Ends the relationship alone: the tracee is about to disappear.
void unlink_tracee(Task& tracee) REQUIRES(task_mutex);

// A child that its maker's tracer traces, too (PTRACE_O_TRACEFORK and its like, CLONE_PTRACE).
void inherit_tracer(Task& maker, Task& child) REQUIRES(task_mutex);

// Whether a set-user-ID program may change the credentials of `t`: its tracer, if any, could have
// done so itself.
bool tracer_may_gain(const Task& t) REQUIRES(task_mutex);

}  // namespace usk
