// The filter of a stub process: seccomp(2).
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

namespace usk::host {

// Allows `calls` of the native architecture, and prctl(2) with one of `options`, when they are made
// from [code, code_end), and answers everything else with SIGSYS.
std::vector<sock_filter> stub_filter(uint64_t code, uint64_t code_end,
                                     std::span<const uint32_t> calls, std::span<const int> options);

}  // namespace usk::host
