#include "net/inet/inet_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29
#endif
#ifndef IPV6_FLOWINFO
#define IPV6_FLOWINFO 11
#define IPV6_FLOWINFO_SEND 33
#endif
#ifndef TCP_TX_DELAY
#define TCP_TX_DELAY 37
#endif

namespace usk {
namespace {

enum Sockets : uint8_t { kNone, kAny, kSix, kStream, kDatagram };

struct Option {
  int level, name;
  Sockets sockets;
  int initial, least, most, error;  // error 0: a flag.
};

#define kFlag 0, 0, 1, 0
#define OPTION(...) {__VA_ARGS__},
constexpr Option kOptions[] = {
#include "net/inet/inet_options.def"
};
#undef OPTION
#undef kFlag

bool has(InetOptions::Kind kind, Sockets sockets) {
  switch (sockets) {
    case kNone: return false;
    case kAny: return true;
    case kSix: return kind.domain == AF_INET6;
    case kStream: return kind.type == SOCK_STREAM;
    case kDatagram: return kind.type == SOCK_DGRAM;
  }
  return false;
}

const Option* find(InetOptions::Kind kind, int level, int name) {
  auto it = std::ranges::find_if(kOptions, [&](const Option& o) {
    return o.level == level && o.name == name && has(kind, o.sockets);
  });
  return it == std::end(kOptions) ? nullptr : it;
}

// Linux: options of ip(7) may be given as one byte.
Result<int> number(int level, std::string_view value) {
  int v = 0;
  if (value.size() >= sizeof v) {
    memcpy(&v, value.data(), sizeof v);
  } else if (level == IPPROTO_IP && !value.empty()) {
    v = uint8_t(value[0]);
  } else {
    return Err(EINVAL);
  }
  return v;
}

}  // namespace

Result<int> InetOptions::get(Kind kind, int level, int name) const {
  const Option* o = find(kind, level, name);
  if (!o) return Err(ENOPROTOOPT);
  Lock lock(mu_);
  auto it = values_.find({level, name});
  return it == values_.end() ? o->initial : it->second;
}

Result<void> InetOptions::set(Kind kind, int level, int name, std::string_view value) {
  const Option* o = find(kind, level, name);
  if (!o) return Err(ENOPROTOOPT);
  int v = TRY(number(level, value));
  if (o->error == 0) {
    v = v != 0;
  } else if (name == IP_MULTICAST_TTL && level == IPPROTO_IP && v == -1) {
    v = 1;
  } else if (name == IP_TOS && level == IPPROTO_IP) {
    v &= 0xff;
    // Linux: the bits for congestion are the protocol's.
    if (kind.type == SOCK_STREAM) v &= ~3;
  } else if (name == IPV6_TCLASS && level == IPPROTO_IPV6 && v == -1) {
    v = 0;
  } else if (v < o->least || v > o->most) {
    return Err(o->error);
  }
  Lock lock(mu_);
  values_[{level, name}] = v;
  return {};
}

bool InetOptions::flag(int level, int name) const {
  Lock lock(mu_);
  auto it = values_.find({level, name});
  return it != values_.end() && it->second;
}

void InetOptions::copy_from(const InetOptions& other) {
  std::map<std::pair<int, int>, int> values;
  {
    Lock lock(other.mu_);
    values = other.values_;
  }
  Lock lock(mu_);
  values_.swap(values);
}

std::string inet_option_value(int level, int value, size_t room) {
  const bool byte =
      level == IPPROTO_IP && room > 0 && room < sizeof value && value >= 0 && value <= 255;
  if (byte) return std::string(1, char(value));
  return std::string(reinterpret_cast<const char*>(&value), std::min(sizeof value, room));
}

}  // namespace usk
