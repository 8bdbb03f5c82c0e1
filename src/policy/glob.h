// Patterns for paths and socket names: syd(2), "PATTERN MATCHING".
#pragma once
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/category.h"

namespace usk::policy {

// One thing that a pattern wants next.
struct GlobToken {
  enum class Kind : uint8_t {
    kByte,      // This byte.
    kSet,       // One byte of a set, never '/': "?" and "[...]".
    kStar,      // "*": any bytes but '/'.
    kGlobStar,  // "**": any bytes.
  } kind;
  uint8_t byte = 0;
  uint16_t set = 0;  // Index into Glob::sets.
};

// A pattern taken apart. "/**/" also matches "/"; "P/***" is P and everything below.
struct Glob {
  std::vector<GlobToken> tokens;
  std::vector<std::bitset<256>> sets;
  // "P/***": a text that ends before the last two tokens matches, too.
  bool also_itself = false;

  // A "**" between two slashes: it may be left out together with the second.
  bool elidable(size_t at) const;
  bool is_literal() const;
  // What every match begins with.
  std::string literal_prefix() const;
};

// Says what is wrong with a pattern. Longest: kMaxPattern.
constexpr size_t kMaxPattern = 4096;
Parsed<Glob> parse_glob(std::string_view pattern);

// The plain way, token by token: what the matcher of many patterns is compared with.
bool matches(const Glob& glob, std::string_view text);

// `text` so that as a pattern it matches itself only.
std::string escape_glob(std::string_view text);

}  // namespace usk::policy
