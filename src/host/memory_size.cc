#include "host/memory_size.h"

#include <unistd.h>

namespace usk::host {

uint64_t physical_memory() {
  static const uint64_t bytes =
      uint64_t(::sysconf(_SC_PHYS_PAGES)) * uint64_t(::sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace usk::host
