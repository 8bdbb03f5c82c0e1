// Packets of gdb's remote serial protocol ("Overview" in its manual): "$", data, "#" and two hex
// digits of checksum.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace usk::gdb {

constexpr size_t kMaxPacket = 0x10000;  // Of data as it is on the wire, either way.

// Cuts what arrives into packets. What is no packet is dropped, as the protocol asks.
class PacketReader {
 public:
  struct Event {
    enum class Kind { kPacket, kDamaged, kInterrupt, kRefused } kind = Kind::kPacket;
    std::string data;  // kPacket, unescaped.
  };
  void feed(std::string_view bytes) { in_ += bytes; }
  // kRefused: the peer asks for the last packet again. Nothing: more must arrive.
  std::optional<Event> next();
  // More has arrived without an end than a packet may have.
  bool is_overrun() const { return in_.size() > kMaxPacket + 4; }

 private:
  std::string in_;
};

// `data` as a packet.
std::string make_packet(std::string_view data);
// With what may not stand in a packet escaped; `most` bytes of it at most. How many of `data` that
// took is told in `taken`.
std::string escape(std::string_view data, size_t most, size_t& taken);

std::string to_hex(std::span<const std::byte> bytes);
// Nothing: not hex, or an odd number of digits.
std::optional<std::string> from_hex(std::string_view hex);
// Takes a number off the front: hex digits, at least one, as many as fit.
std::optional<uint64_t> take_number(std::string_view& text);
// Takes `prefix` off the front, if it is there.
bool take(std::string_view& text, std::string_view prefix);

}  // namespace usk::gdb
