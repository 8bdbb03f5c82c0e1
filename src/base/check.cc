#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace usk {

void check_failed(const char* file, int line, const char* expr) {
  fprintf(stderr, "usk: internal error at %s:%d: %s\n", file, line, expr);
  abort();
}

}  // namespace usk
