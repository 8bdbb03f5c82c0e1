#include "base/log.h"

#include <atomic>
#include <cstdio>

namespace usk {
namespace {
std::atomic<LogLevel> g_level{LogLevel::kWarning};
}  // namespace

void set_log_level(LogLevel level) { g_level = level; }
bool log_enabled(LogLevel level) { return level <= g_level.load(std::memory_order_relaxed); }

void log_line(LogLevel, std::string_view line) { fmt::print(stderr, "usk: {}\n", line); }

}  // namespace usk
