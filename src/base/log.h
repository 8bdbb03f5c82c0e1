// Messages for the person who runs Usk. One line each; nothing is lost silently.
#pragma once
#include <fmt/format.h>

#include <string_view>

namespace usk {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view line);

#define USK_LOG_AT(level, ...)                                                         \
  do {                                                                                 \
    if (::usk::log_enabled(level)) ::usk::log_line(level, ::fmt::format(__VA_ARGS__)); \
  } while (0)
#define LOG_ERROR(...) USK_LOG_AT(::usk::LogLevel::kError, __VA_ARGS__)
#define LOG_WARNING(...) USK_LOG_AT(::usk::LogLevel::kWarning, __VA_ARGS__)
#define LOG_INFO(...) USK_LOG_AT(::usk::LogLevel::kInfo, __VA_ARGS__)
#define LOG_DEBUG(...) USK_LOG_AT(::usk::LogLevel::kDebug, __VA_ARGS__)

}  // namespace usk
