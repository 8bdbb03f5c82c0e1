#include "host/memory_size.h"

#include "host/machine.h"

namespace usk::host {

uint64_t physical_memory() {
  static const uint64_t bytes = machine().memory_total;
  return bytes;
}

}  // namespace usk::host
