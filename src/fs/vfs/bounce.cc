#include "fs/vfs/bounce.h"

#include <algorithm>
#include <vector>

namespace usk {

std::span<std::byte> bounce_buffer(size_t want) {
  static thread_local std::vector<std::byte> buffer(16 << 10);
  want = std::clamp<size_t>(want, 1, kBounceMax);
  if (buffer.size() < want) buffer.resize(want);
  return std::span(buffer).first(want);
}

}  // namespace usk
