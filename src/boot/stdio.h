// The sandbox's standard streams.
#pragma once
#include <array>
#include <memory>

#include "base/failure.h"
#include "fs/hostio/host_terminal.h"
#include "fs/hostio/remote_terminal.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/walk.h"

namespace usk {

// Host descriptors for 0, 1 and 2 of a program that usk exec starts.
using StdStreams = std::array<Ref<HostFd>, 3>;

// Puts these into an empty table.
OrFailure<void> install_streams(const std::shared_ptr<HostPoller>& poller,
                                const StdStreams& streams, FdTable& fds, const WalkContext& ctx);
// Puts the terminal into an empty table, as a login does.
OrFailure<void> install_terminal(const RemoteTerminal& terminal, FdTable& fds,
                                 const WalkContext& ctx);
// Moves the host's descriptors 0, 1 and 2 into the table; those that are `terminal` (or null)
// become the guest's console.
OrFailure<void> install_stdio(const std::shared_ptr<HostPoller>& poller, HostTerminal* terminal,
                              FdTable& fds, const WalkContext& ctx);

}  // namespace usk
