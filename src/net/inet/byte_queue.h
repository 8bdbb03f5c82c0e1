// The bytes on their way in one direction of a connection.
#pragma once
#include <deque>
#include <string>

#include "base/budget.h"
#include "base/failure.h"
#include "base/fields.h"
#include "base/io.h"
#include "base/result.h"

namespace usk {

// A queue of bytes in pieces, charged to kernel_memory(). The holder locks.
class ByteQueue {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Up to `most` bytes of `src`; EFAULT where not one could be read, ENOBUFS where the kernel's
  // memory is short.
  Result<size_t> append(IoIn& src, size_t most);
  // Up to `most` bytes from `offset` on, which stay.
  Result<size_t> copy(IoOut& dst, size_t offset, size_t most) const;
  char at(size_t offset) const;
  void drop(size_t n);
  void clear() { *this = ByteQueue(); }

  USK_FIELDS(pieces_, size_, memory_)
  bool is_whole() const;  // Of a loaded one.

 private:
  struct Piece {
    std::string bytes;
    size_t begin = 0;
    size_t size() const { return bytes.size() - begin; }
    USK_FIELDS(bytes, begin)
  };
  Result<size_t> append_piece(IoIn& src, size_t n);

  std::deque<Piece> pieces_;
  size_t size_ = 0;
  Charge memory_;
};

}  // namespace usk
