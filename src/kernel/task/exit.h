// The end of tasks: exit(2), exit_group(2), wait(2).
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Whether exit or execve of a thread still has to wait for siblings that have not ended.
bool has_live_siblings(const Task& t) REQUIRES(task_mutex);
// The init of a pid namespace ends last: its namespace holds other tasks.
bool waits_for_namespace(const Task& t) REQUIRES(task_mutex);
// A zombie that was waited for (or needs no waiting) disappears.
void reap(ThreadGroup& zombie) REQUIRES(task_mutex);
// CPU time of a thread and of a whole process so far.
Usage thread_usage(Task& t);
Usage group_usage(ThreadGroup& g) REQUIRES(task_mutex);

}  // namespace usk
