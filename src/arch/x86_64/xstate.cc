#include "arch/x86_64/xstate.h"

#include <cpuid.h>

#include <algorithm>
#include <cstring>

namespace usk {
namespace {

constexpr size_t kSoftwareOffset = 464, kSoftwareSize = 48;

uint64_t read_xcr0() {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | uint64_t(high) << 32;
}

size_t read_size() {
  uint32_t a, b, c, d;
  __cpuid_count(0xd, 0, a, b, c, d);
  return b;
}

}  // namespace

uint64_t xstate_mask() {
  // Not the states that a process must ask for first (AMX tile data).
  static const uint64_t mask = read_xcr0() & ~(uint64_t(1) << 18);
  return mask;
}

size_t xstate_size() {
  static const size_t size = read_size();
  return size;
}

void make_ptrace_xstate(std::span<std::byte> state) {
  const uint64_t mask = xstate_mask();
  memset(state.data() + kSoftwareOffset, 0, kSoftwareSize);
  memcpy(state.data() + kSoftwareOffset, &mask, sizeof mask);
}

bool is_surely_loadable(std::span<const std::byte> state) {
  constexpr size_t kMxcsr = 24, kHeader = 512, kHeaderEnd = 576;
  constexpr uint32_t kKnownMxcsr = 0xffbf;
  if (state.size() < kHeaderEnd) return false;
  uint32_t mxcsr;
  uint64_t parts;
  memcpy(&mxcsr, &state[kMxcsr], sizeof mxcsr);
  memcpy(&parts, &state[kHeader], sizeof parts);
  const auto rest = state.subspan(kHeader + sizeof parts, kHeaderEnd - kHeader - sizeof parts);
  return !(mxcsr & ~kKnownMxcsr) && !(parts & ~xstate_mask()) &&
         std::ranges::all_of(rest, [](std::byte b) { return b == std::byte(0); });
}

}  // namespace usk
