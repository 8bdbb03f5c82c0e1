// A tracee and a tracer that do what a seed says: together they have one history, on any kernel.
#pragma once
#include <cstdint>

namespace history {

// xorshift64*
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 0x1234567) {}
  uint32_t next() {
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return uint32_t((state_ * 0x2545f4914f6cdd1d) >> 33);
  }
  uint32_t below(uint32_t n) { return next() % n; }
  bool one_in(uint32_t n) { return below(n) == 0; }

 private:
  uint64_t state_;
};

// Runs its course and exits; `depth` of processes that forked each other.
[[noreturn]] void run_tracee(uint64_t seed, int depth);

// Traces a process that run_tracee()s, and prints each of its stops.
void trace_seed(uint64_t seed);

// The same with a tracer that ends at its `stops`-th stop. False: what it leaves behind does not
// come to its end.
bool abandon_seed(uint64_t seed, int stops);

}  // namespace history
