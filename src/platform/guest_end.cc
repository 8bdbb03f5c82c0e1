#include <algorithm>

#include "host/address_space.h"
#include "platform/platform.h"

namespace usk::platform {

// As far below the end as on Linux: the trap platform has many pages there.
uint64_t guest_end_of_host() {
  constexpr uint64_t kEndOfLinux = 0x7ffffffff000, kGranule = 1 << 16;
  const uint64_t room = kEndOfLinux - kGuestEndOfLinux;
  return std::min(kGuestEndOfLinux, (host::address_space_end() - room) & ~(kGranule - 1));
}

}  // namespace usk::platform
