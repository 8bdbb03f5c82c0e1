// What a thread meets that a tracer or a signal's handler sends to where the stub has its own code:
// for the guest nothing is mapped there.
#pragma once
#include "platform/platform.h"

namespace usk::platform {

constexpr uint64_t kUserEnd = uint64_t(1) << 47;
constexpr bool is_beyond_guest(uint64_t ip) { return ip >= kGuestEnd && ip < kUserEnd; }

// A page fault: user code was to be fetched from a page that is not there.
constexpr uint64_t kPageFault = 14, kFetchFault = 0x14;

}  // namespace usk::platform
