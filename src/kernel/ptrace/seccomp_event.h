// PTRACE_EVENT_SECCOMP: what a tracer hears of filters.
#pragma once
#include <cstdint>

namespace usk {

class Task;

// A filter says TRACE. True: a tracer asked for it, and the task is about to stop; `data` is the
// event's message. False: nobody did, and the call fails with ENOSYS.
bool seccomp_event(Task& t, uint16_t data);

// PTRACE_O_SUSPEND_SECCOMP: the task's calls pass whatever its filters say.
bool seccomp_is_suspended(Task& t);

}  // namespace usk
