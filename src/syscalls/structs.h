// Structures of the system call interface that libc spells differently from the kernel.
#pragma once
#include <cstddef>
#include <cstdint>

#include "abi/stat.h"

namespace usk {

// rt_sigaction(2)
struct KernelSigaction {
  uint64_t handler, flags, restorer, mask;
};
static_assert(sizeof(KernelSigaction) == 32);

struct KernelStack {  // sigaltstack(2)
  uint64_t addr;
  int32_t flags;
  int32_t pad;
  uint64_t size;
};
static_assert(sizeof(KernelStack) == 24);

struct SigsetArg {  // pselect6(2)'s sixth argument
  uint64_t addr, size;
};

struct KernelTimespec {
  int64_t sec, nsec;
};

struct CapHeader {  // capget(2)
  uint32_t version;
  int32_t pid;
};
struct CapData {
  uint32_t effective, permitted, inheritable;
};

}  // namespace usk
