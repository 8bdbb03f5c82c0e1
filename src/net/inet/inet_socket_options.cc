// Options that every socket of AF_INET and AF_INET6 has.
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "net/inet/inet_socket.h"

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

namespace usk {
namespace {

bool is_membership(int level, int name) {
  if (level == IPPROTO_IP) return name >= IP_ADD_MEMBERSHIP && name <= MCAST_MSFILTER;
  return name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP || name == IPV6_JOIN_ANYCAST ||
         (name >= MCAST_JOIN_GROUP && name <= MCAST_MSFILTER);
}

bool is_hop_limit(int level, int name) {
  return level == IPPROTO_IP ? name == IP_TTL : name == IPV6_UNICAST_HOPS;
}

}  // namespace

Result<std::string> InetSocket::get_socket_option(int name, size_t room) {
  switch (name) {
    case SO_TYPE: return option_value(type(), room);
    case SO_DOMAIN: return option_value(domain(), room);
    case SO_PROTOCOL: return option_value(protocol(), room);
    case SO_ERROR: return option_value(take_error(), room);
    case SO_ACCEPTCONN: return option_value(int(is_listening()), room);
    case SO_PEERCRED: return option_value(ucred{0, UINT32_MAX, UINT32_MAX}, room);
    case SO_PEERGROUPS: return Err(ENODATA);
    case SO_PEERNAME: {
      const std::string peer = TRY(peer_address()).bytes;
      if (peer.size() < room) return Err(EINVAL);
      return peer.substr(0, room);
    }
    case SO_BINDTODEVICE: {
      if (!device_) return std::string();
      if (room < IFNAMSIZ) return Err(EINVAL);
      return std::string("lo\0", 3);
    }
    case SO_COOKIE:
      if (room < sizeof(uint64_t)) return Err(EINVAL);
      return option_value(id(), room);
    case SO_PASSCRED:
    case SO_PASSSEC: return Err(EOPNOTSUPP);
    default: return options_.get(name, room);
  }
}

std::string InetSocket::plain_option(int level, int name) {
  constexpr size_t kRoom = 1024;
  auto own = get_own_option(level, name, kRoom);
  if (own) return *std::move(own);
  const auto number = inet_options_.get({domain(), type()}, level, name);
  return number ? inet_option_value(level, *number, kRoom) : std::string();
}

Result<std::string> InetSocket::get_option(Caller&, int level, int name, size_t room) {
  if (level == SOL_SOCKET) return get_socket_option(name, room);
  auto own = get_own_option(level, name, room);
  if (own || !failed_with(own, ENOPROTOOPT)) return own;
  if (level == IPPROTO_IPV6 && !is_v6()) return Err(EOPNOTSUPP);
  if (level == IPPROTO_IP || level == IPPROTO_IPV6) {
    if (is_hop_limit(level, name)) return inet_option_value(level, hop_limit_, room);
    if (level == IPPROTO_IP && name == IP_OPTIONS) return std::string();
    if (name == IP_MTU && level == IPPROTO_IP) {
      TRY(peer_address());
      return inet_option_value(level, InetNetwork::kMtu - 1, room);
    }
    if (name == IPV6_MTU && level == IPPROTO_IPV6) {
      TRY(peer_address());
      return inet_option_value(level, InetNetwork::kMtu, room);
    }
    if (level == IPPROTO_IPV6 && name == IPV6_MULTICAST_HOPS) {
      return inet_option_value(level, 1, room);
    }
    const bool device = level == IPPROTO_IP ? name == IP_MULTICAST_IF : name == IPV6_MULTICAST_IF;
    if (device || (level == IPPROTO_IP && name == IP_TRANSPARENT)) {
      return inet_option_value(level, 0, room);
    }
  }
  const int value = TRY(inet_options_.get({domain(), type()}, level, name));
  return inet_option_value(level, value, room);
}

Result<void> InetSocket::set_socket_option(Caller& caller, int name, std::string_view value) {
  switch (name) {
    case SO_BINDTODEVICE: {
      const std::string_view device = value.substr(0, std::min<size_t>(value.find('\0'), IFNAMSIZ));
      if (device_ && !caller.creds().capable(CAP_NET_RAW, network_->owner())) return Err(EPERM);
      if (!device.empty() && device != "lo") return Err(ENODEV);
      device_ = !device.empty();
      return {};
    }
    case SO_PASSCRED:
    case SO_PASSSEC: return Err(EOPNOTSUPP);
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
      if (!network_->may_administer(caller.creds())) return Err(EPERM);
      name = name == SO_SNDBUFFORCE ? SO_SNDBUF : SO_RCVBUF;
      break;
    default: break;
  }
  TRY(options_.set(name, value, caller.creds()));
  options_changed();
  return {};
}

Result<void> InetSocket::set_option(Caller& caller, int level, int name, std::string_view value) {
  if (level == SOL_SOCKET) return set_socket_option(caller, name, value);
  auto own = set_own_option(caller, level, name, value);
  if (own || !failed_with(own, ENOPROTOOPT)) return own;
  if (level == IPPROTO_IPV6 && !is_v6()) return Err(ENOPROTOOPT);
  if (level == IPPROTO_IP || level == IPPROTO_IPV6) {
    if (is_hop_limit(level, name)) {
      int limit = 0;
      if (value.size() >= sizeof limit) {
        memcpy(&limit, value.data(), sizeof limit);
      } else if (level == IPPROTO_IP && !value.empty()) {
        limit = uint8_t(value[0]);
      } else {
        return Err(EINVAL);
      }
      if (limit != -1 && (limit < (level == IPPROTO_IP) || limit > 255)) return Err(EINVAL);
      hop_limit_ = limit == -1 ? 64 : limit;
      return {};
    }
    // Unlike Linux: nothing can be sent to a group, and so none can be joined.
    if (is_membership(level, name)) {
      return Err(value.size() < sizeof(ip_mreq) ? EINVAL : ENODEV);
    }
    const bool transparent =
        level == IPPROTO_IP ? name == IP_TRANSPARENT : name == IPV6_TRANSPARENT;
    if (transparent) return Err(EPERM);
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY && is_bound()) return Err(EINVAL);
  }
  return inet_options_.set({domain(), type()}, level, name, value);
}

}  // namespace usk
