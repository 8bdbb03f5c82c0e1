// Processors of the host: sched_setaffinity(2), getcpu(2).
#pragma once
#include <cstdint>

namespace usk::host {

uint32_t current_cpu();
// Moves the calling thread to another processor than `cpu`, of those it may use. False: it has
// none.
bool leave_cpu(uint32_t cpu);
// A clock that costs a few cycles, in ticks, and how many of them a microsecond has.
inline uint64_t ticks() { return __builtin_ia32_rdtsc(); }
uint64_t ticks_per_us();
// How long so many ticks are, in nanoseconds; a few cycles, too.
int64_t ticks_to_ns(uint64_t ticks);
// CPU time of the calling thread.
int64_t own_cpu_time_ns();

}  // namespace usk::host
