#include "base/check.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "base/check_handler.h"
#include "base/heartbeat.h"

namespace usk {
namespace {
std::atomic<CheckHandler> g_handler{nullptr};
}  // namespace

Heartbeat heartbeat;

void set_check_handler(CheckHandler handler) { g_handler = handler; }

void check_failed(const char* file, int line, const char* expr) {
  char what[512];
  snprintf(what, sizeof what, "%s:%d: %s", file, line, expr);
  if (const CheckHandler handler = g_handler) handler(what);
  fprintf(stderr, "usk: internal error at %s\n", what);
  abort();
}

}  // namespace usk
