// The sandbox's standard streams.
#pragma once
#include <memory>

#include "base/failure.h"
#include "base/host_poller.h"
#include "fs/vfs/fd_table.h"

namespace usk {

// Moves the host's descriptors 0, 1 and 2 into the table.
OrFailure<void> install_stdio(std::shared_ptr<HostPoller> poller, FdTable& fds,
                              Ref<const Creds> creds);

}  // namespace usk
