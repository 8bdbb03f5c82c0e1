// The sandbox's standard streams.
#pragma once
#include <memory>

#include "base/failure.h"
#include "fs/hostio/host_terminal.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/walk.h"

namespace usk {

// Moves the host's descriptors 0, 1 and 2 into the table; those that are `terminal` (or null)
// become the guest's console.
OrFailure<void> install_stdio(const std::shared_ptr<HostPoller>& poller, HostTerminal* terminal,
                              FdTable& fds, const WalkContext& ctx);

}  // namespace usk
