#include "host/cpu.h"

#include <sched.h>
#include <time.h>

namespace usk::host {
namespace {

int64_t now() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return int64_t(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}

uint64_t measure_ticks() {
  const int64_t begin = now();
  const uint64_t from = ticks();
  int64_t end;
  do {
    end = now();
  } while (end - begin < 100'000);
  return (ticks() - from) * 1000 / uint64_t(end - begin);
}

}  // namespace

uint32_t current_cpu() { return uint32_t(sched_getcpu()); }

bool leave_cpu(uint32_t cpu) {
  cpu_set_t all;
  if (sched_getaffinity(0, sizeof all, &all) < 0) return false;
  cpu_set_t others = all;
  if (cpu < CPU_SETSIZE) CPU_CLR(cpu, &others);
  if (CPU_COUNT(&others) == 0) return false;
  // The scheduler may move it again later; it was only this place that was bad.
  const bool moved = sched_setaffinity(0, sizeof others, &others) == 0;
  sched_setaffinity(0, sizeof all, &all);
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
