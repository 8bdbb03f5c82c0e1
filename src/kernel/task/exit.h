// The end of tasks: exit(2), exit_group(2), wait(2).
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Whether execve of a thread still has to wait for siblings: until the leader has ended, and the
// others have gone, which takes their tracers if they have any.
bool exec_waits(const Task& t) REQUIRES(task_mutex);
// The init of a pid namespace ends last: its namespace holds other tasks.
bool waits_for_namespace(const Task& t) REQUIRES(task_mutex);
// A zombie that was waited for (or needs no waiting) disappears.
void reap(ThreadGroup& zombie) REQUIRES(task_mutex);
// A dead thread that its tracer has waited for. A leader may be its parent's now.
void reap_for_tracer(Task& zombie) REQUIRES(task_mutex);
// Its tracer has ended without having waited for it.
void after_tracer(Task& tracer, Task& zombie) REQUIRES(task_mutex);
// CPU time of a thread and of a whole process so far.
Usage thread_usage(Task& t);
Usage group_usage(ThreadGroup& g) REQUIRES(task_mutex);

}  // namespace usk
