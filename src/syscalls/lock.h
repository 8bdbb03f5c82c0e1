// fcntl(2)'s record locks.
#pragma once
#include "syscalls/syscalls.h"

namespace usk::sys {

// F_GETLK, F_SETLK, F_SETLKW and their F_OFD_ kin.
SyscallResult record_lock(Task& t, File& file, int cmd, uint64_t arg);

}  // namespace usk::sys
