// The checksum of a part of an image: XXH3, which is as fast as the bytes are copied. It tells of
// accidents; nothing relies on it against somebody who wrote the image himself.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace usk::state {

class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;
  void add(std::span<const std::byte> bytes);
  uint64_t value() const;
  static uint64_t of(std::string_view bytes);
  // XXH3 of 128 bits: the lower and the upper half.
  static std::pair<uint64_t, uint64_t> wide(std::span<const std::byte> bytes);
  // "xxh3:0123456789abcdef", as manifests have it.
  static std::string text(uint64_t value);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace usk::state
