// How much memory the host has.
#pragma once
#include <cstdint>

namespace usk::host {

uint64_t physical_memory();  // In bytes.
// What this process may use of it: that, or less by the cgroups that it is in. To be asked while
// paths still lead to the host.
uint64_t memory_to_be_had();

}  // namespace usk::host
