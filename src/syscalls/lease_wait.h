// Calls that wait until a lease is given up: open(2), truncate(2).
#pragma once
#include "base/timer.h"
#include "fs/vfs/leases.h"
#include "kernel/kernel.h"

namespace usk::sys {

// How long they wait before they break it: proc_sys_fs(5), lease-break-time.
constexpr int64_t kLeaseBreakTime = 45 * kNsPerSecond;

// Whether the call in progress has waited as long as that.
inline bool waited_for_lease(Task& t) {
  const Deadline until = t.frame.deadline.value_or(Deadline{});
  return !until.infinite() && t.kernel.time.monotonic() >= until.ns;
}

}  // namespace usk::sys
