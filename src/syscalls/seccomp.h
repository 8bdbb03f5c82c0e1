// What seccomp(2) shares with prctl(2).
#pragma once
#include "kernel/task/task.h"

namespace usk::sys {

// PR_SET_SECCOMP: the mode, and where the filter's sock_fprog lies.
SyscallResult set_seccomp_mode(Task& t, uint64_t mode, uint64_t args);

}  // namespace usk::sys
