// Times as system calls pass them.
#pragma once
#include <sys/time.h>
#include <time.h>

#include <optional>

#include "syscalls/syscalls.h"

namespace usk {

// Nanoseconds of a timespec; EINVAL when it is not a time. Saturates.
inline Result<int64_t> to_ns(const KernelTimespec& ts) {
  if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= kNsPerSecond) return Err(EINVAL);
  if (ts.sec >= INT64_MAX / kNsPerSecond) return INT64_MAX;
  return ts.sec * kNsPerSecond + ts.nsec;
}
inline KernelTimespec from_ns(int64_t ns) { return {ns / kNsPerSecond, ns % kNsPerSecond}; }

// A relative timeout that may be absent (null: for ever).
inline Result<std::optional<int64_t>> get_timeout(Task& t, UserPtr<const KernelTimespec> p) {
  if (!p) return std::nullopt;
  return TRY(to_ns(TRY(t.mem().get(p))));
}

}  // namespace usk
