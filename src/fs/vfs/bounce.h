// A buffer between a file's contents and the two ends of a read or write.
#pragma once
#include <cstddef>
#include <span>

namespace usk {

// This thread's scratch bytes: at least one, at most `want` and kBounceMax of them, until its
// next call. Bytes are moved through it so that no lock is held while guest memory is touched;
// what calls it must not call, while it uses the bytes, what might call it too.
constexpr size_t kBounceMax = 1 << 20;
std::span<std::byte> bounce_buffer(size_t want);

}  // namespace usk
