// The seccomp filter of this platform's stubs.
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <vector>

namespace usk::platform {

std::vector<sock_filter> ptrace_stub_filter();
// An address in the only code whose calls are looked at any further.
uint64_t ptrace_stub_code();

}  // namespace usk::platform
