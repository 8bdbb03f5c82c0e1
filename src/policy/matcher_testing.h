// The matcher of many patterns against the plain way: for its test and its fuzzer.
#pragma once
#include <string>
#include <vector>

#include "policy/matcher.h"

namespace usk::policy::testing {

// The rules tried one by one: what the matcher must find.
inline Verdict plain_verdict(const std::vector<Pattern>& patterns, std::string_view text) {
  Verdict out;
  for (const Pattern& p : patterns) {
    if (!matches(p.glob, text)) continue;
    for (size_t c = 0; c < kCategoryCount; c++) {
      if (p.categories[c]) out.rule[c] = std::max(out.rule[c], p.rule);
    }
  }
  return out;
}

// Pieces that patterns and paths share, so that they often meet. `next` gives numbers.
template <class Next>
std::string some_text(Next next, bool pattern) {
  static constexpr const char* kNames[] = {"/usr", "/bin", "/a", "/ab",
                                           "/lib", ".so",  "x",  "/.ssh"};
  static constexpr const char* kWild[] = {"*", "**", "/**", "?", "[a-l]", "[!x]", "/*", "\\*"};
  std::string out = pattern ? "" : "/";
  const unsigned pieces = 1 + next() % 5;
  for (unsigned i = 0; i < pieces; i++) {
    const bool wild = pattern && next() % 3 == 0;
    out += wild ? kWild[next() % 8] : kNames[next() % 8];
  }
  if (pattern && next() % 4 == 0) out += "/***";
  return out;
}

template <class Next>
std::vector<Pattern> some_patterns(Next next, size_t most) {
  std::vector<Pattern> out;
  const size_t n = 1 + next() % most;
  for (size_t i = 0; i < n; i++) {
    auto glob = parse_glob(some_text(next, true));
    if (!glob) continue;
    CategorySet categories(1 + next() % 255);
    out.push_back({*std::move(glob), categories, int32_t(i)});
  }
  return out;
}

}  // namespace usk::policy::testing
