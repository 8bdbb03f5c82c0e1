#include "host/random.h"

#include <errno.h>
#include <sys/syscall.h>

#include "base/check.h"
#include "host/call.h"

namespace usk::host {

void fill_random(std::span<std::byte> out) {
  while (!out.empty()) {
    const long n = guarded(SYS_getrandom, out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    CHECK(n > 0);
    out = out.subspan(size_t(n));
  }
}

}  // namespace usk::host
