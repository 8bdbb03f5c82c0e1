// The processor's extended state: XSAVE areas (Intel SDM volume 1, chapter 13).
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace usk {

// The features that the host has enabled (XCR0) and the size of an area for all of them, in the
// standard format.
uint64_t xstate_mask();
size_t xstate_size();
// What XSAVE left, as NT_X86_XSTATE shows it: the mask of enabled features in the
// software-reserved bytes.
void make_ptrace_xstate(std::span<std::byte> state);
// Whether XRSTOR takes an area without a fault, surely: its header is of the standard form, of
// parts that are enabled, and MXCSR has no bits that some processor reserves.
bool is_surely_loadable(std::span<const std::byte> state);

}  // namespace usk
