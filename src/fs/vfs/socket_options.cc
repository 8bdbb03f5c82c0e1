#include "fs/vfs/socket_options.h"

#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

namespace usk {
namespace {

constexpr int kMinSendBuffer = 4608, kMinReceiveBuffer = 2304;
constexpr int64_t kNs = 1'000'000'000;

bool is_flag(int name) {
  switch (name) {
    case SO_REUSEADDR:
    case SO_KEEPALIVE:
    case SO_BROADCAST:
    case SO_OOBINLINE:
    case SO_DONTROUTE:
    case SO_TIMESTAMP:
    case SO_TIMESTAMPNS:
    case SO_PASSCRED:
    case SO_PASSSEC:
    case SO_NO_CHECK:
    case SO_RXQ_OVFL:
    case SO_SELECT_ERR_QUEUE:
    case SO_LOCK_FILTER:
    case SO_DEBUG:
    case SO_WIFI_STATUS:
    case SO_NOFCS: return true;
    default: return false;
  }
}

// The value of an option that nobody set; nothing where there is no such option.
std::optional<int> default_of(int name) {
  if (is_flag(name)) return 0;
  switch (name) {
    case SO_PRIORITY:
    case SO_MARK:
    case SO_BUSY_POLL:
    case SO_ZEROCOPY:
    case SO_REUSEPORT: return 0;
    case SO_RCVLOWAT:
    case SO_SNDLOWAT: return 1;
    case SO_PEEK_OFF:
    case SO_INCOMING_CPU: return -1;
    default: return std::nullopt;
  }
}

}  // namespace

Result<int> option_int(std::string_view value) {
  int v;
  if (value.size() < sizeof v) return Err(EINVAL);
  memcpy(&v, value.data(), sizeof v);
  return v;
}

Result<std::string> SocketOptions::get(int name, size_t room) const {
  if (name == SO_SNDBUF) return option_value(send_buffer(), room);
  if (name == SO_RCVBUF) return option_value(receive_buffer(), room);
  Lock lock(mu_);
  if (name == SO_LINGER) return option_value(linger{linger_on_, linger_seconds_}, room);
  if (name == SO_RCVTIMEO || name == SO_SNDTIMEO) {
    const int64_t ns = name == SO_RCVTIMEO ? receive_timeout_ : send_timeout_;
    return option_value(timeval{ns / kNs, ns % kNs / 1000}, room);
  }
  const auto fallback = default_of(name);
  if (!fallback) return Err(ENOPROTOOPT);
  auto it = ints_.find(name);
  return option_value(it == ints_.end() ? *fallback : it->second, room);
}

Result<void> SocketOptions::set(int name, std::string_view value, const Creds& creds) {
  if (name == SO_RCVTIMEO || name == SO_SNDTIMEO) return set_timeout(name, value);
  const int number = TRY(option_int(value));
  if (name == SO_LINGER) {
    linger l;
    if (value.size() < sizeof l) return Err(EINVAL);
    memcpy(&l, value.data(), sizeof l);
    Lock lock(mu_);
    linger_on_ = l.l_onoff != 0;
    if (linger_on_) linger_seconds_ = l.l_linger;
    return {};
  }
  return set_int(name, number, creds);
}

Result<void> SocketOptions::set_int(int name, int value, const Creds& creds) {
  switch (name) {
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
      if (!creds.capable_in_root(CAP_NET_ADMIN)) return Err(EPERM);
      [[fallthrough]];
    case SO_SNDBUF:
    case SO_RCVBUF: {
      // Linux doubles it, for its own bookkeeping.
      const int doubled = std::clamp(value, 0, kMaxBuffer) * 2;
      if (name == SO_SNDBUF || name == SO_SNDBUFFORCE) {
        send_buffer_ = std::max(doubled, kMinSendBuffer);
        send_buffer_fixed_ = true;
      } else {
        receive_buffer_ = std::max(doubled, kMinReceiveBuffer);
      }
      return {};
    }
    case SO_SNDLOWAT:
    case SO_ZEROCOPY: return Err(name == SO_ZEROCOPY ? EOPNOTSUPP : ENOPROTOOPT);
    case SO_PRIORITY:
      if ((value < 0 || value > 6) && !creds.capable(CAP_NET_ADMIN)) return Err(EPERM);
      break;
    case SO_MARK:
      if (!creds.capable(CAP_NET_ADMIN)) return Err(EPERM);
      break;
    case SO_RCVLOWAT: value = value < 0 ? INT32_MAX : std::max(value, 1); break;
    default: break;
  }
  if (!default_of(name)) return Err(ENOPROTOOPT);
  Lock lock(mu_);
  ints_[name] = is_flag(name) ? value != 0 : value;
  return {};
}

Result<void> SocketOptions::set_timeout(int name, std::string_view value) {
  timeval t;
  if (value.size() < sizeof t) return Err(EINVAL);
  memcpy(&t, value.data(), sizeof t);
  if (t.tv_usec < 0 || t.tv_usec >= 1'000'000) return Err(EDOM);
  int64_t ns = 0;  // Linux: a negative time is none.
  if (t.tv_sec >= 0 && t.tv_sec < INT64_MAX / kNs) ns = t.tv_sec * kNs + t.tv_usec * 1000;
  Lock lock(mu_);
  (name == SO_RCVTIMEO ? receive_timeout_ : send_timeout_) = ns;
  return {};
}

bool SocketOptions::flag(int name) const {
  Lock lock(mu_);
  auto it = ints_.find(name);
  return it != ints_.end() && it->second;
}

void SocketOptions::copy_from(const SocketOptions& other) {
  std::map<int, int> ints;
  int on, seconds;
  int64_t receive, send;
  {
    Lock lock(other.mu_);
    ints = other.ints_;
    on = other.linger_on_, seconds = other.linger_seconds_;
    receive = other.receive_timeout_, send = other.send_timeout_;
  }
  send_buffer_ = other.send_buffer_.load();
  receive_buffer_ = other.receive_buffer_.load();
  send_buffer_fixed_ = other.send_buffer_fixed_.load();
  Lock lock(mu_);
  ints_.swap(ints);
  linger_on_ = on, linger_seconds_ = seconds;
  receive_timeout_ = receive, send_timeout_ = send;
}

int SocketOptions::low_water() const {
  Lock lock(mu_);
  auto it = ints_.find(SO_RCVLOWAT);
  return it == ints_.end() ? 1 : it->second;
}

bool SocketOptions::lingers_not() const {
  Lock lock(mu_);
  return linger_on_ && linger_seconds_ == 0;
}

int64_t SocketOptions::receive_timeout() const {
  Lock lock(mu_);
  return receive_timeout_;
}

int64_t SocketOptions::send_timeout() const {
  Lock lock(mu_);
  return send_timeout_;
}

}  // namespace usk
