// The options of level SOL_SOCKET that every socket has: socket(7).
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/fields.h"
#include "base/lock.h"
#include "base/result.h"
#include "creds/creds.h"

namespace usk {

// Values that are kept and given back, and those that others ask for. What depends on the
// socket's state (SO_ERROR, SO_TYPE, SO_PEERCRED, ...) is its own.
class SocketOptions {
 public:
  // Linux: wmem_default and rmem_default, wmem_max and rmem_max.
  static constexpr int kDefaultBuffer = 212992, kMaxBuffer = 4 << 20;

  SocketOptions() = default;
  SocketOptions(int send_buffer, int receive_buffer)
      : send_buffer_(send_buffer), receive_buffer_(receive_buffer) {}
  // What a connection has from its listener.
  void copy_from(const SocketOptions& other) EXCLUDES(mu_);

  // ENOPROTOOPT: not one of these.
  Result<std::string> get(int name, size_t room) const EXCLUDES(mu_);
  Result<void> set(int name, std::string_view value, const Creds& creds) EXCLUDES(mu_);

  bool flag(int name) const EXCLUDES(mu_);
  int send_buffer() const { return send_buffer_.load(std::memory_order_relaxed); }
  int receive_buffer() const { return receive_buffer_.load(std::memory_order_relaxed); }
  // The size that the kernel finds best, unless the program has said what it wants.
  void tune_send_buffer(int size) {
    if (!send_buffer_fixed_) send_buffer_ = size;
  }
  int low_water() const EXCLUDES(mu_);  // SO_RCVLOWAT
  // SO_LINGER with no time: what is left is thrown away.
  bool lingers_not() const EXCLUDES(mu_);
  int64_t receive_timeout() const EXCLUDES(mu_);
  int64_t send_timeout() const EXCLUDES(mu_);

  USK_FIELDS(ints_, linger_on_, linger_seconds_, receive_timeout_, send_timeout_, send_buffer_,
             receive_buffer_, send_buffer_fixed_)

 private:
  Result<void> set_int(int name, int value, const Creds& creds) EXCLUDES(mu_);
  Result<void> set_timeout(int name, std::string_view value) EXCLUDES(mu_);

  mutable Mutex<Rank::kLeaf> mu_;
  std::map<int, int> ints_ GUARDED_BY(mu_);  // Those that differ from their default.
  int linger_on_ GUARDED_BY(mu_) = 0, linger_seconds_ GUARDED_BY(mu_) = 0;
  int64_t receive_timeout_ GUARDED_BY(mu_) = 0, send_timeout_ GUARDED_BY(mu_) = 0;
  std::atomic<int> send_buffer_{kDefaultBuffer}, receive_buffer_{kDefaultBuffer};
  std::atomic<bool> send_buffer_fixed_{false};
};

// An option's value cut to the caller's room, as getsockopt(2) does.
template <class T>
std::string option_value(const T& v, size_t room) {
  return std::string(reinterpret_cast<const char*>(&v), std::min(sizeof v, room));
}

// An int of setsockopt(2); EINVAL when the value is shorter.
Result<int> option_int(std::string_view value);

}  // namespace usk
