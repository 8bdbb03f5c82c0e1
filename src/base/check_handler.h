// Who is told when a CHECK fails.
#pragma once

namespace usk {

// Says so in its own way, and ends the process.
using CheckHandler = void (*)(const char* what);
void set_check_handler(CheckHandler handler);

}  // namespace usk
