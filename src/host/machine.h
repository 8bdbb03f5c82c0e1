// What machine this is.
#pragma once
#include <cstdint>

namespace usk::host {

struct Machine {
  uint64_t memory_total = 0, memory_free = 0;  // Bytes.
  int cpus = 1;                                // That this process may use.
};
Machine machine();

}  // namespace usk::host
