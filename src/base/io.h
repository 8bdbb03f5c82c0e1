// Where file operations put bytes and take them from: guest memory, a pipe, a kernel buffer.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "base/result.h"

namespace usk {

// A destination of size() more bytes. put() copies as much of its argument as fits and can be
// written, and says how much; it fails with EFAULT only when not one byte could be written.
class IoOut {
 public:
  virtual ~IoOut() = default;
  virtual size_t size() const = 0;
  virtual Result<size_t> put(std::span<const std::byte>) = 0;
  template <class T>
  Result<size_t> put_object(const T& v) {
    return put(std::as_bytes(std::span(&v, 1)));
  }
};

// A source of size() more bytes; take() is put()'s mirror.
class IoIn {
 public:
  virtual ~IoIn() = default;
  virtual size_t size() const = 0;
  virtual Result<size_t> take(std::span<std::byte>) = 0;
  template <class T>
  Result<T> take_object() {
    T v;
    if (size_t n = TRY(take(std::as_writable_bytes(std::span(&v, 1)))); n != sizeof v) {
      return Err(EFAULT);
    }
    return v;
  }
};

class KernelOut final : public IoOut {
 public:
  explicit KernelOut(std::span<std::byte> b) : rest_(b) {}
  size_t size() const override { return rest_.size(); }
  Result<size_t> put(std::span<const std::byte> s) override {
    const size_t n = std::min(s.size(), rest_.size());
    if (n) memcpy(rest_.data(), s.data(), n);
    rest_ = rest_.subspan(n);
    return n;
  }

 private:
  std::span<std::byte> rest_;
};

class KernelIn final : public IoIn {
 public:
  explicit KernelIn(std::span<const std::byte> b) : rest_(b) {}
  size_t size() const override { return rest_.size(); }
  Result<size_t> take(std::span<std::byte> d) override {
    const size_t n = std::min(d.size(), rest_.size());
    if (n) memcpy(d.data(), rest_.data(), n);
    rest_ = rest_.subspan(n);
    return n;
  }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace usk
