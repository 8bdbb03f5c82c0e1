// How much memory the host has.
#pragma once
#include <cstdint>

namespace usk::host {

uint64_t physical_memory();  // In bytes.

}  // namespace usk::host
