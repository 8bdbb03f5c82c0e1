// How many open file descriptions there are of all programs, and may be: /proc/sys/fs/file-max.
#pragma once
#include <cstdint>

namespace usk {

// All File objects, with or without a descriptor.
uint64_t count_of_files();
// Beyond it, new ones are refused with ENFILE: when they get a descriptor, or, where they never
// have one, by who makes them. No limit until one is set.
uint64_t most_files();
void set_most_files(uint64_t most);

}  // namespace usk
