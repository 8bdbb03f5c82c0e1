// The seccomp filter of this platform's stubs (docs/decisions/0008).
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace usk::platform {

struct StubFilter {
  std::vector<sock_filter> program;
  uint64_t code;  // An address in the only code whose calls are looked at any further.
};
StubFilter trap_stub_filter();

}  // namespace usk::platform
