#include "state/cbor.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace usk::state {

void CborWriter::head(Major major, uint64_t argument) {
  char bytes[9];
  size_t follow = 0;
  uint8_t low = uint8_t(argument);
  if (argument >= 24) {
    const int width = argument <= UINT8_MAX    ? 0
                      : argument <= UINT16_MAX ? 1
                      : argument <= UINT32_MAX ? 2
                                               : 3;
    follow = size_t(1) << width;
    low = uint8_t(24 + width);
    for (size_t i = 0; i < follow; i++) bytes[1 + i] = char(argument >> (8 * (follow - 1 - i)));
  }
  bytes[0] = char(uint8_t(major) << 5 | low);
  out_.append(bytes, 1 + follow);
}

void CborWriter::number(int64_t v) {
  if (v >= 0) return head(Major::kUnsigned, uint64_t(v));
  head(Major::kNegative, ~uint64_t(v));
}

// Always a double: 0xfb and its bits.
void CborWriter::real(double v) {
  const auto bits = std::bit_cast<uint64_t>(v);
  char bytes[9] = {char(0xfb)};
  for (size_t i = 0; i < 8; i++) bytes[1 + i] = char(bits >> (8 * (7 - i)));
  out_.append(bytes, sizeof bytes);
}

void CborWriter::chunk(Major major, std::string_view v) {
  head(major, v.size());
  out_ += v;
}

void CborWriter::string(std::string_view v) {
  const bool printable = std::ranges::all_of(v, [](char c) { return c >= 0x20 && c < 0x7f; });
  chunk(printable ? Major::kText : Major::kBytes, v);
}

bool CborReader::fail(const char* why) {
  if (!error_) error_ = why;
  at_ = end_;
  return false;
}

bool CborReader::head(Major& major, uint64_t& argument) {
  if (at_ == end_) return fail("it ends too early");
  const uint8_t first = uint8_t(*at_++);
  major = Major(first >> 5);
  argument = first & 31;
  if (argument >= 24) {
    if (argument > 27) return fail("a length that is not definite");
    const size_t follow = size_t(1) << (argument - 24);
    if (follow > left()) return fail("it ends too early");
    argument = 0;
    for (size_t i = 0; i < follow; i++) argument = argument << 8 | uint8_t(*at_++);
    // A double keeps all its bits, which may be few.
    const bool shortest = follow == 1 ? argument >= 24 : argument >> (4 * follow) != 0;
    if (major != Major::kSimple && !shortest)
      return fail("a number that is not in its shortest form");
    if (major == Major::kSimple && follow != 8) return fail("a simple value that is not known");
    if (major == Major::kSimple) return fail("a floating-point number where none is wanted");
  }
  if (major == Major::kSimple && (argument < kFalse || argument > kNull)) {
    return fail("a simple value that is not known");
  }
  const bool counts = major == Major::kBytes || major == Major::kText || major == Major::kArray;
  if ((counts && argument > left()) || (major == Major::kMap && argument > left() / 2)) {
    return fail("a length beyond its end");
  }
  return true;
}

bool CborReader::head_of(Major wanted, uint64_t& argument, const char* why) {
  if (!next_is(wanted)) return fail(at_ == end_ ? "it ends too early" : why);
  Major major;
  return head(major, argument);
}

bool CborReader::number(uint64_t& v) {
  return head_of(Major::kUnsigned, v, "a number without sign is missing");
}

bool CborReader::number(int64_t& v) {
  Major major;
  uint64_t argument;
  if (!head(major, argument)) return false;
  if (major > Major::kNegative) return fail("a number is missing");
  if (argument > uint64_t(INT64_MAX)) return fail("a number out of its range");
  v = major == Major::kNegative ? int64_t(~argument) : int64_t(argument);
  return true;
}

bool CborReader::real(double& v) {
  if (left() < 9 || uint8_t(*at_) != 0xfb) return fail("a floating-point number is missing");
  uint64_t bits = 0;
  for (size_t i = 1; i < 9; i++) bits = bits << 8 | uint8_t(at_[i]);
  at_ += 9;
  v = std::bit_cast<double>(bits);
  return true;
}

bool CborReader::boolean(bool& v) {
  uint64_t argument;
  if (!head_of(Major::kSimple, argument, "true or false is missing")) return false;
  if (argument != kTrue && argument != kFalse) return fail("true or false is missing");
  v = argument == kTrue;
  return true;
}

bool CborReader::string(std::string_view& v) {
  uint64_t size;
  const Major major = next_is(Major::kText) ? Major::kText : Major::kBytes;
  if (!head_of(major, size, "a string is missing")) return false;
  v = {at_, size_t(size)};
  at_ += size;
  return true;
}

bool CborReader::fixed_bytes(void* to, size_t size) {
  std::string_view v;
  if (!string(v)) return false;
  if (v.size() != size) return fail("a string of another length is wanted");
  std::memcpy(to, v.data(), size);
  return true;
}

bool CborReader::skip_null() {
  if (at_ == end_ || uint8_t(*at_) != (uint8_t(Major::kSimple) << 5 | kNull)) return false;
  at_++;
  return true;
}

bool CborReader::skip() {
  std::array<uint64_t, kMaxNesting> to_come;  // Items still to come on each level.
  size_t depth = 0;
  to_come[0] = 1;
  while (true) {
    while (to_come[depth] == 0) {
      if (depth == 0) return true;
      depth--;
    }
    to_come[depth]--;
    if (at_ < end_ && uint8_t(*at_) == 0xfb) {
      double ignored;
      if (!real(ignored)) return false;
      continue;
    }
    Major major;
    uint64_t argument;
    if (!head(major, argument)) return false;
    if (major == Major::kBytes || major == Major::kText) at_ += argument;
    if (major == Major::kTag) argument = 1;
    if (major == Major::kMap) argument *= 2;
    if (major == Major::kArray || major == Major::kMap || major == Major::kTag) {
      if (++depth == kMaxNesting) return fail("too many levels");
      to_come[depth] = argument;
    }
  }
}

}  // namespace usk::state
