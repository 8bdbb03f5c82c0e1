// The sandbox's standard streams.
#pragma once
#include "base/failure.h"
#include "fs/vfs/fd_table.h"
#include "kernel/kernel.h"

namespace usk {

// Puts the host's descriptors 0, 1 and 2 into the table.
OrFailure<void> install_stdio(Kernel& kernel, FdTable& fds, Ref<const Creds> creds);

}  // namespace usk
