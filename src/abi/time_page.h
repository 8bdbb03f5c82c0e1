/* What the guest's vDSO reads the time with; included by the vDSO, which is C. */
#pragma once
#include <stdint.h>

/* Mapped read-only in front of the vDSO; written by the kernel under its sequence count. */
struct usk_time_page {
  uint32_t sequence; /* Odd while the rest changes. */
  uint32_t unused;
  /* The host's own function in the stub process; 0: there is none, make the system call. */
  uint64_t host_clock_gettime;
  /* What is added to the host's clocks: seconds, and nanoseconds in [0, 1e9). */
  int64_t realtime_seconds, realtime_nanoseconds;
  int64_t monotonic_seconds, monotonic_nanoseconds;
};
