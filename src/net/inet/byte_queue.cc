#include "net/inet/byte_queue.h"

namespace usk {
namespace {

constexpr size_t kPiece = 64 << 10;
// A piece that is read empty is kept for what comes next, unless it is larger than this.
constexpr size_t kKept = 4096;
// What is charged grows by so much.
constexpr size_t kChargeStep = 4096;

}  // namespace

Result<size_t> ByteQueue::append_piece(IoIn& src, size_t n) {
  const bool join = !pieces_.empty() && pieces_.back().bytes.size() + n <= kPiece &&
                    (pieces_.back().size() == 0 || n <= kKept);
  if (!join) pieces_.emplace_back();
  std::string& bytes = pieces_.back().bytes;
  const size_t before = bytes.size();
  Result<size_t> taken = 0;
  bytes.resize_and_overwrite(before + n, [&](char* p, size_t) {
    taken = src.take(std::as_writable_bytes(std::span(p + before, n)));
    return before + taken.value_or(0);
  });
  if (!join && taken.value_or(0) == 0) pieces_.pop_back();
  size_ += taken.value_or(0);
  return taken;
}

Result<size_t> ByteQueue::append(IoIn& src, size_t most) {
  size_t done = 0;
  while (done < most && src.size() > 0) {
    const size_t n = std::min({most - done, src.size(), kPiece});
    const size_t charged = (size_ + n + kChargeStep - 1) / kChargeStep * kChargeStep;
    if (charged > memory_.size() && !memory_.set(charged)) {
      if (done == 0) return Err(ENOBUFS);
      break;
    }
    const auto taken = append_piece(src, n);
    if (!taken && done == 0) return taken;
    done += taken.value_or(0);
    if (taken.value_or(0) < n) break;
  }
  return done;
}

Result<size_t> ByteQueue::copy(IoOut& dst, size_t offset, size_t most) const {
  size_t done = 0;
  for (const Piece& p : pieces_) {
    if (done == most) break;
    if (offset >= p.size()) {
      offset -= p.size();
      continue;
    }
    const size_t n = std::min(p.size() - offset, most - done);
    const auto put = dst.put(std::as_bytes(std::span(p.bytes).subspan(p.begin + offset, n)));
    if (!put && done == 0) return put;
    done += put.value_or(0);
    if (put.value_or(0) < n) break;
    offset = 0;
  }
  return done;
}

char ByteQueue::at(size_t offset) const {
  for (const Piece& p : pieces_) {
    if (offset < p.size()) return p.bytes[p.begin + offset];
    offset -= p.size();
  }
  return 0;
}

void ByteQueue::drop(size_t n) {
  size_ -= n;
  while (n > 0) {
    Piece& p = pieces_.front();
    const size_t part = std::min(n, p.size());
    p.begin += part;
    n -= part;
    if (p.size() > 0) break;
    if (pieces_.size() == 1 && p.bytes.capacity() <= kKept) {
      p.bytes.clear();
      p.begin = 0;
      break;
    }
    pieces_.pop_front();
  }
  // Less is always granted.
  if (memory_.size() > size_ + 4 * kChargeStep || size_ == 0) {
    (void)memory_.set((size_ + kChargeStep - 1) / kChargeStep * kChargeStep);
  }
}

bool ByteQueue::is_whole() const {
  size_t sum = 0;
  for (const Piece& p : pieces_) {
    if (p.begin > p.bytes.size()) return false;
    sum += p.size();
  }
  return sum == size_ && memory_.size() >= size_;
}

}  // namespace usk
