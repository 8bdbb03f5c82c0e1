#include "gdb/packet.h"

#include <fmt/format.h>

namespace usk::gdb {
namespace {

constexpr char kEscape = '}', kFlip = 0x20, kInterruptByte = 0x03;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

uint8_t sum(std::string_view data) {
  uint8_t total = 0;
  for (char c : data) total = uint8_t(total + uint8_t(c));
  return total;
}

std::string unescape(std::string_view data) {
  std::string out;
  out.reserve(data.size());
  for (size_t i = 0; i < data.size(); i++) {
    const bool escaped = data[i] == kEscape && i + 1 < data.size();
    out += escaped ? char(data[++i] ^ kFlip) : data[i];
  }
  return out;
}

}  // namespace

std::optional<PacketReader::Event> PacketReader::next() {
  using Kind = Event::Kind;
  while (!in_.empty()) {
    const char first = in_[0];
    if (first != '$') {
      in_.erase(0, 1);
      if (first == kInterruptByte) return Event{Kind::kInterrupt, {}};
      if (first == '-') return Event{Kind::kRefused, {}};
      continue;
    }
    const size_t end = in_.find('#');
    if (end == in_.npos || end + 3 > in_.size()) return std::nullopt;
    const std::string_view data = std::string_view(in_).substr(1, end - 1);
    const int high = digit(in_[end + 1]), low = digit(in_[end + 2]);
    Event e{Kind::kDamaged, {}};
    if (high >= 0 && low >= 0 && sum(data) == high * 16 + low && data.size() <= kMaxPacket) {
      e = {Kind::kPacket, unescape(data)};
    }
    in_.erase(0, end + 3);
    return e;
  }
  return std::nullopt;
}

std::string make_packet(std::string_view data) {
  return fmt::format("${}#{:02x}", data, sum(data));
}

std::string escape(std::string_view data, size_t most, size_t& taken) {
  std::string out;
  for (taken = 0; taken < data.size(); taken++) {
    const char c = data[taken];
    const bool special = c == '#' || c == '$' || c == kEscape || c == '*';
    if (out.size() + 1 + special > most) break;
    if (special) out += kEscape;
    out += special ? char(c ^ kFlip) : c;
  }
  return out;
}

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(2 * bytes.size());
  for (std::byte b : bytes) {
    out += kDigits[size_t(b) >> 4];
    out += kDigits[size_t(b) & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view hex) {
  if (hex.size() % 2) return std::nullopt;
  std::string out;
  out.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += char(high * 16 + low);
  }
  return out;
}

std::optional<uint64_t> take_number(std::string_view& text) {
  uint64_t n = 0;
  size_t used = 0;
  while (used < text.size() && used < 16 && digit(text[used]) >= 0) {
    n = n << 4 | uint64_t(digit(text[used++]));
  }
  if (used == 0) return std::nullopt;
  text.remove_prefix(used);
  return n;
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace usk::gdb
