// Benchmarks: plain static programs that print one line `NAME NANOSECONDS` per row, the median of
// several rounds. run.py runs them inside and outside in turn. `PROGRAM --turns ROW` is for sides
// that take turns within a row: the least of
// many short rounds whenever a byte comes on standard input.
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
inline bool g_turns = false;

// argv of a program whose rows can be chosen.
inline void choose_rows(int argc, char** argv) {
  g_turns = argc > 2 && strcmp(argv[1], "--turns") == 0;
  if (argc > 1) g_filter = argv[g_turns ? 2 : 1];
}

constexpr int kRounds = 5;
constexpr int64_t kRoundNs = 20'000'000;
constexpr int kTurnRounds = 40;
constexpr int64_t kTurnNs = 100'000;  // A round of a turn: mostly nobody else gets the processor.

// Nanoseconds of one of `count` operations.
template <class F>
double timed(F& body, int64_t count) {
  int64_t start = now_ns();
  for (int64_t i = 0; i < count; ++i) body();
  return static_cast<double>(now_ns() - start) / static_cast<double>(count);
}

// How many operations take about `ns`.
template <class F>
int64_t count_for(F& body, int64_t ns) {
  for (int64_t count = 1;; count *= 4) {  // Until a round is long enough to be measured.
    const double took = timed(body, count) * static_cast<double>(count);
    if (took <= static_cast<double>(ns) / 4) continue;
    return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(count * ns) / took));
  }
}

template <class F>
void take_turns(F& body) {
  int64_t count = 1;
  for (int i = 0; i < 20; ++i) count = std::max(count, count_for(body, kTurnNs));
  char turn;
  while (read(0, &turn, 1) == 1) {
    double least = timed(body, count);
    for (int i = 1; i < kTurnRounds; ++i) least = std::min(least, timed(body, count));
    printf("%.1f\n", least);
    fflush(stdout);
  }
}

// Measures `body`, which does one operation: the median over rounds of about kRoundNs each.
template <class F>
void row(const char* name, F body) {
  if (g_turns) {
    if (strcmp(name, g_filter) == 0) take_turns(body);
    return;
  }
  if (g_filter != nullptr && strstr(name, g_filter) == nullptr) return;
  body();
  const int64_t count = count_for(body, kRoundNs);
  double rounds[kRounds];
  for (double& each : rounds) each = timed(body, count);
  std::sort(rounds, rounds + kRounds);
  printf("%s %.1f\n", name, rounds[kRounds / 2]);
  fflush(stdout);
}

}  // namespace bench
