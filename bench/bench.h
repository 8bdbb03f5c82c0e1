// Benchmarks: plain static programs that print one line `NAME NANOSECONDS` per row, the median of
// several rounds. run.py runs them inside and outside in turn.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace bench {

inline int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

[[noreturn]] inline void die(const char* what) {
  perror(what);
  exit(1);
}

inline void must(bool good, const char* what) {
  if (!good) die(what);
}

inline const char* g_filter = nullptr;

constexpr int kRounds = 5;
constexpr int64_t kRoundNs = 20'000'000;

// Measures `body`, which does one operation: the median over rounds of about kRoundNs each.
template <class F>
void row(const char* name, F body) {
  if (g_filter != nullptr && strstr(name, g_filter) == nullptr) return;
  body();
  int64_t count = 1;
  for (;;) {  // Until a round is long enough to be measured.
    int64_t start = now_ns();
    for (int64_t i = 0; i < count; ++i) body();
    int64_t took = now_ns() - start;
    if (took > kRoundNs / 4) {
      count = std::max<int64_t>(1, count * kRoundNs / took);
      break;
    }
    count *= 4;
  }
  double rounds[kRounds];
  for (double& each : rounds) {
    int64_t start = now_ns();
    for (int64_t i = 0; i < count; ++i) body();
    each = static_cast<double>(now_ns() - start) / static_cast<double>(count);
  }
  std::sort(rounds, rounds + kRounds);
  printf("%s %.1f\n", name, rounds[kRounds / 2]);
  fflush(stdout);
}

}  // namespace bench
