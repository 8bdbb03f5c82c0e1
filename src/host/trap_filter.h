// The filter of the trap platform's stub processes: seccomp(2).
#pragma once
#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

namespace usk::host {

// Where the instruction pointer stands is interception, not a boundary: guest code may jump
// anywhere in the stub's code with any registers. So whatever is allowed is harmless with
// arbitrary arguments: it touches nothing but the guest range of the calling process, and the
// rest is compared by the kernel process with what it commanded before it is let through.
struct TrapFilter {
  uint64_t code, code_end;            // Calls from elsewhere are SIGSYS.
  uint64_t guest_start, guest_end;    // What munmap, mprotect, madvise and mmap may change.
  uint32_t files, files_end;          // Descriptors that may be mapped privately.
  uint64_t areas;                     // From here up, madvise(MADV_DONTFORK) is.
  std::span<const uint32_t> allowed;  // Harmless whatever their arguments.
  std::span<const uint32_t> asked;    // Wait for the kernel process's word.
};
std::vector<sock_filter> trap_filter(const TrapFilter& f);

}  // namespace usk::host
