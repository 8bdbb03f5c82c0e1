// What a thread meets that a tracer or a signal's handler sends to where the stub has its own code:
// for the guest nothing is mapped there but the host's vDSO, which reads its clocks.
#pragma once
#include "host/vdso.h"
#include "platform/platform.h"

namespace usk::platform {

constexpr uint64_t kUserEnd = uint64_t(1) << 47;
inline bool is_beyond_guest(uint64_t ip, const host::Vdso& vdso) {
  const bool in_vdso = ip >= vdso.start && ip < vdso.end;
  return ip >= kGuestEnd && ip < kUserEnd && !in_vdso;
}

// A page fault: user code was to be fetched from a page that is not there.
constexpr uint64_t kPageFault = 14, kFetchFault = 0x14;

}  // namespace usk::platform
