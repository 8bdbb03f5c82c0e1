// Options of file systems as mount(2) takes them: "size=64k,mode=755,huge".
#pragma once
#include <charconv>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace usk {

// Calls `apply(key, value)` for each, in order, until one fails. Empty ones are skipped.
template <class Apply>
Result<void> for_each_option(std::string_view text, Apply apply) {
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view word = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (word.empty()) continue;
    const size_t equals = std::min(word.find('='), word.size());
    Result<void> done =
        apply(word.substr(0, equals), word.substr(std::min(equals + 1, word.size())));
    if (!done) return done;
  }
  return {};
}

// The number that `s` begins with, which is taken off it.
inline std::optional<uint64_t> leading_number(std::string_view& s, int base) {
  uint64_t v = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v, base);
  if (error != std::errc()) return std::nullopt;
  s.remove_prefix(size_t(end - s.data()));
  return v;
}

// A value that is a number of 32 bits and nothing else. EINVAL.
inline Result<uint32_t> option_number(std::string_view s, int base) {
  const auto v = leading_number(s, base);
  if (!v || !s.empty() || *v > UINT32_MAX) return Err(EINVAL);
  return uint32_t(*v);
}

}  // namespace usk
