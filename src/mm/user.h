// Guest addresses as typed arguments, and the doors to guest memory.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/io.h"
#include "base/result.h"
#include "mm/address_space.h"

namespace usk {

// A guest address that points to a T. It cannot be dereferenced; UserMemory's copies are the only
// way through. UserPtr<const T> can only be read.
template <class T>
struct UserPtr {
  uint64_t addr = 0;
  explicit operator bool() const { return addr != 0; }
  UserPtr operator+(uint64_t n) const { return {addr + n * sizeof(T)}; }
};
// Untyped.
template <>
struct UserPtr<void> {
  uint64_t addr = 0;
  explicit operator bool() const { return addr != 0; }
};
// A guest buffer the kernel fills (UserOut) or drains (UserIn): two registers, one argument.
struct UserOut {
  uint64_t addr;
  uint64_t len;
};
struct UserIn {
  uint64_t addr;
  uint64_t len;
};
// A string that ends with a zero byte.
struct UserStr {
  uint64_t addr = 0;
};
// An array of iovecs: address and count.
struct UserIov {
  uint64_t addr;
  uint64_t count;
};

// Types that may be copied out: no padding that could carry kernel bytes to the guest is the
// caller's care (zero-initialise), plain layout is checked.
template <class T>
concept PlainData = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

// Guest memory as a system call sees it: `by` is the calling thread, stopped. Copies grow the stack
// where a fault of the program itself would.
class UserMemory {
 public:
  UserMemory(AddressSpace& mm, platform::Thread& by, const MemoryLimits& limits)
      : mm_(mm), by_(by), limits_(limits) {}

  // As much as can be copied; EFAULT when nothing can (and something was asked for).
  Result<size_t> read(uint64_t addr, std::span<std::byte> dst);
  Result<size_t> write(uint64_t addr, std::span<const std::byte> src);

  // All or EFAULT.
  Result<void> copy_in(std::span<std::byte> dst, uint64_t addr);
  Result<void> copy_out(uint64_t addr, std::span<const std::byte> src);
  template <PlainData T>
  Result<T> get(UserPtr<const T> p) {
    T v;
    TRY(copy_in(std::as_writable_bytes(std::span(&v, 1)), p.addr));
    return v;
  }
  template <PlainData T>
  Result<T> get(UserPtr<T> p) {
    return get(UserPtr<const T>{p.addr});
  }
  template <PlainData T>
  Result<void> put(UserPtr<T> p, const std::type_identity_t<T>& v) {
    return copy_out(p.addr, std::as_bytes(std::span(&v, 1)));
  }
  // `count` objects; the caller has bounded it.
  template <PlainData T>
  Result<std::vector<T>> get_array(UserPtr<const T> p, size_t count) {
    std::vector<T> v(count);
    TRY(copy_in(std::as_writable_bytes(std::span(v)), p.addr));
    return v;
  }
  // A string of at most `max` bytes without its zero; `too_long` when it is longer.
  Result<std::string> get_string(UserStr s, size_t max, int too_long = ENAMETOOLONG);
  // A path: at most PATH_MAX - 1 bytes. ENAMETOOLONG.
  Result<std::string> get_path(UserStr s) { return get_string(s, 4095); }

  // Atomic compare and exchange of a 32-bit word; what it held before.
  Result<uint32_t> compare_exchange(uint64_t addr, uint32_t expected, uint32_t desired);

  AddressSpace& mm() { return mm_; }

 private:
  // As read(), but only what can be had at once: what came with the trap, or what the host copies.
  Result<size_t> read_piece(uint64_t addr, std::span<std::byte> dst);

  AddressSpace& mm_;
  platform::Thread& by_;
  MemoryLimits limits_;
};

// The buffers of a read or write call: an iovec array, checked (IOV_MAX, lengths as size_t), or
// one buffer, which needs no memory of its own.
class UserBuffers {
 public:
  UserBuffers() = default;
  // At most MAX_RW_COUNT bytes.
  UserBuffers(uint64_t addr, uint64_t len);
  explicit UserBuffers(std::vector<iovec> parts) : many_(std::move(parts)), is_one_(false) {}
  std::span<iovec> parts() { return is_one_ ? std::span(&one_, 1) : std::span(many_); }
  std::span<const iovec> parts() const {
    return is_one_ ? std::span(&one_, 1) : std::span<const iovec>(many_);
  }
  size_t total() const;

 private:
  iovec one_{};
  std::vector<iovec> many_;
  bool is_one_ = true;
};
Result<UserBuffers> get_iovecs(UserMemory& mem, UserIov iov);

// Guest buffers as the ends of file operations. `skip` bytes are already done.
class GuestOut final : public IoOut {
 public:
  GuestOut(UserMemory mem, UserBuffers buffers, size_t skip = 0);
  size_t size() const override { return left_; }
  Result<size_t> put(std::span<const std::byte> src) override;

 private:
  UserMemory mem_;
  UserBuffers buffers_;
  size_t part_ = 0, at_ = 0, left_;
};
class GuestIn final : public IoIn {
 public:
  GuestIn(UserMemory mem, UserBuffers buffers, size_t skip = 0);
  size_t size() const override { return left_; }
  Result<size_t> take(std::span<std::byte> dst) override;

 private:
  UserMemory mem_;
  UserBuffers buffers_;
  size_t part_ = 0, at_ = 0, left_;
};

}  // namespace usk
