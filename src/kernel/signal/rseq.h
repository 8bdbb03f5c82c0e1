// Restartable sequences: rseq(2).
#pragma once
#include "kernel/task/task.h"

namespace usk {

// The thread is stopped at any instruction and will see a signal handler or another CPU: a
// critical section it is in is left through its abort handler. False: the guest's area is broken
// (Linux: SIGSEGV).
bool leave_critical_section(Task& t);

}  // namespace usk
