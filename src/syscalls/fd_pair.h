// pipe(2) and socketpair(2): two descriptors or none.
#pragma once
#include "syscalls/syscalls.h"

namespace usk::sys {

// Gives both files descriptors and writes the numbers to `fds`; takes them back where that fails.
SyscallResult install_pair(Task& t, Ref<File> first, Ref<File> second, bool cloexec,
                           UserPtr<int32_t> fds);

}  // namespace usk::sys
