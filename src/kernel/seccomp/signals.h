// SIGSYS, as seccomp(2) and syscall user dispatch send it.
#pragma once
#include "kernel/task/task.h"

namespace usk::seccomp {

constexpr int kSysSeccomp = 1, kSysUserDispatch = 2;  // si_code

// The call of t.frame is not made: its registers are as before it, and the signal says which call
// it was. `reason` is si_errno. A fatal one ends the process whatever it does about signals.
enum class Sigsys { kHandled, kFatal };
void send_sigsys(Task& t, int code, int reason, Sigsys how = Sigsys::kHandled) EXCLUDES(task_mutex);

}  // namespace usk::seccomp
