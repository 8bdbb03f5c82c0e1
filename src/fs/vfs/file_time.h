// The time of day as the sandbox has it, for timestamps of files.
#pragma once
#include <time.h>

#include <cstdint>

namespace usk {

timespec file_time();
// How far the sandbox's CLOCK_REALTIME is ahead of the host's, in nanoseconds.
void set_file_time_offset(int64_t ns);

}  // namespace usk
