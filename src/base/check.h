// Assertions that stay on in release builds and must be unreachable from the guest.
#pragma once

namespace usk {

// Ends the process with one line on stderr that names the place.
[[noreturn]] void check_failed(const char* file, int line, const char* expr);

}  // namespace usk

#define CHECK(cond)                                   \
  do {                                                \
    if (!(cond)) [[unlikely]]                         \
      ::usk::check_failed(__FILE__, __LINE__, #cond); \
  } while (0)

#ifdef USK_DEBUG_CHECKS
#define DCHECK(cond) CHECK(cond)
#else
#define DCHECK(cond) \
  do {               \
  } while (0)
#endif
