// What fcntl(2) shares with ioctl(2).
#pragma once
#include "syscalls/syscalls.h"

namespace usk::sys {

// F_SETFL of the file behind `fd`: O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME and O_ASYNC.
Result<void> set_status_flags(Task& t, Fd fd, File& file, int flags);

}  // namespace usk::sys
