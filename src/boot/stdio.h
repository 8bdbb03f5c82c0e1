// The standard streams of processes started from outside.
#pragma once
#include <array>
#include <memory>

#include "base/failure.h"
#include "fs/hostio/host_terminal.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/walk.h"
#include "host/host_fd.h"

namespace usk {

// Where a process's descriptors 0, 1 and 2 come from.
struct StdStreams {
  std::shared_ptr<HostPoller> poller;
  // The sandbox's terminal, if it has one: streams that are it become the guest's console.
  HostTerminal* terminal = nullptr;
  // Host descriptors that `usk exec` passed; all null: those of this process itself.
  std::array<Ref<HostFd>, 3> passed;
  bool is_passed() const { return bool(passed[0]) || bool(passed[1]) || bool(passed[2]); }
};

// Puts them into an empty table.
OrFailure<void> install_stdio(const StdStreams& streams, FdTable& fds, const WalkContext& ctx);

}  // namespace usk
