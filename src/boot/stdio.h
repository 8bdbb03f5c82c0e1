// The sandbox's standard streams.
#pragma once
#include <array>

#include "base/failure.h"
#include "fs/vfs/fd_table.h"
#include "host/host_fd.h"
#include "kernel/kernel.h"

namespace usk {

// Host descriptors for 0, 1 and 2; null: the one of this process with that number.
using StdStreams = std::array<Ref<HostFd>, 3>;

// Puts them into an empty table.
OrFailure<void> install_stdio(Kernel& kernel, FdTable& fds, Ref<const Creds> creds,
                              const StdStreams& streams);

}  // namespace usk
