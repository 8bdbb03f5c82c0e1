// What the states of a system call share.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// A kill is pending: a stop has ended by it, or the call need not be made any more.
bool is_dying(Task& t) EXCLUDES(task_mutex);

// A stopped call is what its registers say afterwards. False: the tracer took the number away.
bool reread_call(Task& t);
// Then it is not made: the result is what the tracer left in the registers.
RunState skip_call(Task& t);

}  // namespace usk
