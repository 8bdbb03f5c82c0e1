// The host's own vDSO in another process: vdso(7), proc(5).
#pragma once
#include <sys/types.h>

#include <cstdint>

namespace usk::host {

struct Vdso {
  uint64_t start = 0, end = 0;  // With its data pages; equal: there is none.
  uint64_t clock_gettime = 0;   // Where its function is; 0: it has none.
};
Vdso vdso_of(pid_t pid);

}  // namespace usk::host
