#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace usk {
namespace {
std::atomic<LogLevel> g_level{LogLevel::kWarning};
}  // namespace

void set_log_level(LogLevel level) { g_level = level; }
bool log_enabled(LogLevel level) { return level <= g_level.load(std::memory_order_relaxed); }

// Where nobody listens (standard error is closed), nothing is to be said: fmt::print would throw.
void log_line(LogLevel, std::string_view line) {
  const std::string text = fmt::format("usk: {}\n", line);
  (void)fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace usk
