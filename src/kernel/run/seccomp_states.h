// What the filters of a task make of its call: seccomp(2). docs/ARCHITECTURE.md shows the graph.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Runs the filters on the call of t.frame; the state that the verdict leads to. For the calls of
// either stop order and those of the vsyscall page. `again`: after PTRACE_EVENT_SECCOMP, on what
// the tracer made of the call; TRACE means ALLOW then.
enum class FilterRun { kFirst, kAgain };
RunState run_filters(Task& t, FilterRun which);

}  // namespace usk
