// Whether somebody is to see each of a task's calls.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Then the platform may answer none by itself (Thread::set_identity), nor make any (own_futexes()).
bool calls_are_watched(const Task& t);

// calls_are_watched() may have changed: holds from the task's next call on, even if it runs now.
void watch_calls(Task& t);

// Whether the task may read the time stamp counter (PR_SET_TSC of prctl(2); strict mode of
// seccomp(2) takes it away). While it may not, its calls are watched: platforms answer with the
// counter's help.
Result<void> allow_tsc(Task& t, bool allowed);

// The guest's clocks (abi/time_page.h) in the memory of the task; 0: they are not mapped.
uint64_t time_page_of(const Task& t);
// Lets the platform make the task's calls with private futexes, unless they are watched: then none
// of its space.
void share_futexes(Task& t);
// And those of the whole space again, when nobody is watched any more and nobody waits in the
// kernel.
void publish_futexes(Task& t);

}  // namespace usk
