// How much there is to map: mmap(2).
#pragma once
#include <cstdint>

namespace usk::host {

// Where the addresses end that this host's processes may map: at the end of the lower half, or
// earlier, as for programs inside Usk.
uint64_t address_space_end();

}  // namespace usk::host
