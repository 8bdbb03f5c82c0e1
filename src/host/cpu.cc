#include "host/cpu.h"

#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <algorithm>

#include "host/call.h"

namespace usk::host {
namespace {

int64_t now() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return int64_t(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}

// Both clocks at one moment: others may have the processor between two looks.
struct Moment {
  uint64_t ticks;
  int64_t ns;
};
Moment moment() {
  Moment best{};
  uint64_t shortest = UINT64_MAX;
  for (int i = 0; i < 5; i++) {
    const uint64_t before = ticks();
    const int64_t ns = now();
    const uint64_t took = ticks() - before;
    if (took >= shortest) continue;
    shortest = took;
    best = {before + took / 2, ns};
  }
  return best;
}

uint64_t measure_ticks() {
  const Moment begin = moment();
  while (now() - begin.ns < 100'000) {
  }
  const Moment end = moment();
  return std::max<uint64_t>((end.ticks - begin.ticks) * 1000 / uint64_t(end.ns - begin.ns), 1);
}

}  // namespace

uint32_t current_cpu() { return uint32_t(sched_getcpu()); }

bool leave_cpu(uint32_t cpu) {
  cpu_set_t all;
  if (guarded(SYS_sched_getaffinity, 0, sizeof all, &all) < 0) return false;
  cpu_set_t others = all;
  if (cpu < CPU_SETSIZE) CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0) return false;
  // The scheduler may move it again later; it was only this place that was bad.
  const bool moved = guarded(SYS_sched_setaffinity, 0, sizeof others, &others) == 0;
  (void)guarded(SYS_sched_setaffinity, 0, sizeof all, &all);
  return moved;
}

int64_t own_cpu_time_ns() {
  timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return int64_t(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}

uint64_t ticks_per_us() {
  static const uint64_t ticks = measure_ticks();
  return ticks;
}

int64_t ticks_to_ns(uint64_t n) {
  static const uint64_t scale = (uint64_t(1000) << 32) / ticks_per_us();  // In 2^-32 ns.
  return int64_t(static_cast<unsigned __int128>(n) * scale >> 32);
}

}  // namespace usk::host
