// Carrying bytes between descriptors that may be slow.
#pragma once
#include <array>
#include <vector>

#include "host/file_io.h"

namespace usk {

// Bytes on their way from one descriptor to another.
class Carrier {
 public:
  static constexpr size_t kChunk = 16384;
  bool empty() const { return bytes_.empty(); }
  size_t size() const { return bytes_.size(); }
  void add(std::byte byte) { bytes_.push_back(byte); }
  // Whether there is more to come.
  bool take(int from) {
    std::array<std::byte, kChunk> buffer;
    auto n = host::read(from, buffer);
    if (!n) return failed_with(n, EAGAIN) || failed_with(n, EINTR);
    bytes_.insert(bytes_.end(), buffer.begin(), buffer.begin() + ptrdiff_t(*n));
    return *n > 0;
  }
  // Whether the receiver still takes something.
  bool put(int to) {
    auto n = host::write(to, bytes_);
    if (!n) return failed_with(n, EAGAIN) || failed_with(n, EINTR);
    bytes_.erase(bytes_.begin(), bytes_.begin() + ptrdiff_t(*n));
    return true;
  }
  void drop() { bytes_.clear(); }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace usk
