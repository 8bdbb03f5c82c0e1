// Entering and leaving ptrace-stops: ptrace(2), "Stopped states".
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Each of these puts the running task `t` in a stop, of which its tracer learns; the run loop holds
// it there, and the state that its step returns is what comes after the stop. False: nobody traces
// it so, or it is being killed, and no stop takes place.

// Before a signal is delivered.
bool stop_for_signal(Task& t, const siginfo_t& info) REQUIRES(task_mutex);
// PTRACE_EVENT_*, if the tracer asked for it. An exec that it did not ask for sends SIGTRAP.
bool stop_for_event(Task& t, int event, uint64_t message) REQUIRES(task_mutex);
// The same; the message is an id, as the tracer's pid namespace has it.
bool stop_for_event(Task& t, int event, const Pid& id) REQUIRES(task_mutex);
// At a system call, if it was resumed to stop there.
enum class CallSide { kEnter, kExit };
bool stop_for_call(Task& t, CallSide side) REQUIRES(task_mutex);
// After a single-stepped call or the entry of a signal handler.
bool stop_for_step(Task& t) REQUIRES(task_mutex);
// The stop that a group-stop is for a traced task, and PTRACE_EVENT_STOP.
void stop_for_group(Task& t) REQUIRES(task_mutex);
bool wants_group_trap(const Task& t) REQUIRES(task_mutex);

// A group-stop begins, ends or goes on: a seized task stops (again) to tell its tracer.
void notify_seized(Task& t) REQUIRES(task_mutex);
// The task in a group-stop has got a tracer: it is in a ptrace-stop from now on.
void turn_group_stop_into_trap(Task& t) REQUIRES(task_mutex);

// Ends the stop the task is in, if any, and lets it run.
void leave_stop(Task& t) REQUIRES(task_mutex);

// Whether who traces it belongs to another process than its parent.
bool is_reparented(const Task& t) REQUIRES(task_mutex);

}  // namespace usk
