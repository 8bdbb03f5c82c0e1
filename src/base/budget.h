// How much host memory the guest may make the kernel hold.
#pragma once
#include <atomic>
#include <cstddef>
#include <utility>

#include "base/check.h"

namespace usk {

// A number of bytes that charges may not exceed together.
class Budget {
 public:
  explicit Budget(size_t limit) : limit_(limit) {}
  // False, and nothing is charged, where the limit would be passed.
  [[nodiscard]] bool charge(size_t n) {
    size_t used = used_.load(std::memory_order_relaxed);
    do {
      if (n > limit_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + n, std::memory_order_relaxed));
    return true;
  }
  void release(size_t n) {
    const size_t before = used_.fetch_sub(n, std::memory_order_relaxed);
    CHECK(before >= n);
  }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t limit() const { return limit_; }

 private:
  const size_t limit_;
  std::atomic<size_t> used_{0};
};

// The budget of what files hold for the guest: contents of pipes, sockets and terminals, epoll
// items, queued notifications. A guest that passes it gets ENOMEM, ENOBUFS or EAGAIN, as Linux
// gives when kernel memory is short.
inline Budget& kernel_memory() {
  static Budget budget(size_t(1) << 30);
  return budget;
}

// A charge that goes with its holder.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& o) noexcept : n_(std::exchange(o.n_, 0)) {}
  Charge& operator=(Charge&& o) noexcept {
    std::swap(n_, o.n_);
    return *this;
  }
  ~Charge() {
    if (n_) kernel_memory().release(n_);
  }
  // Makes it a charge of `n` bytes; false, and unchanged, where the budget has not so many.
  [[nodiscard]] bool set(size_t n) {
    if (n > n_ && !kernel_memory().charge(n - n_)) return false;
    if (n < n_) kernel_memory().release(n_ - n);
    n_ = n;
    return true;
  }
  size_t size() const { return n_; }
  // A loaded one counts again.
  template <class A>
  void fields(A& ar) {
    size_t n = n_;
    ar.all("n_", n);
    if constexpr (A::kLoading) {
      if (!set(n)) ar.fail("more than the kernel's memory has room for");
    }
  }

 private:
  size_t n_ = 0;
};

}  // namespace usk
