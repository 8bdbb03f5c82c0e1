// What a platform counts, for `usk stats` and for who makes it faster. Plain numbers that the one
// worker adds to: counting costs nothing that could be measured.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace usk::platform {

// Since the platform was made. What is done in the stub is the guest's own word, bounded; all
// else is counted by us.
struct Counters {
#define COUNTER(group, name, what) uint64_t name = 0;
#include "platform/counters.def"
#undef COUNTER
};

struct CounterInfo {
  std::string_view group, name, what;
  uint64_t Counters::* value;
};
extern const std::span<const CounterInfo> kCounters;

void count_fault(Counters& c, int signal);

// A place in guest code that makes system calls. The same place of a file is one site, whatever
// processes have it mapped.
struct CallSite {
  uint64_t address = 0;  // Of the instruction, in the first process met; 0: many places together.
  std::string file;      // Empty: none is mapped there.
  uint64_t offset = 0;   // In `file`.
  uint32_t nr = 0;       // Of the call.
  uint64_t trapped = 0;  // Calls that came by SIGSYS.
  uint64_t patched = 0;  // About as many came through a patch: one in sixteen is looked at.
  uint64_t calls() const { return trapped + patched; }
};

}  // namespace usk::platform
