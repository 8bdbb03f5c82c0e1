// Options of netlink sockets: netlink(7).
#include "net/netlink/netlink_socket.h"

namespace usk {
namespace {

bool is_switch(int name) {
  switch (name) {
    case NETLINK_PKTINFO:
    case NETLINK_BROADCAST_ERROR:
    case NETLINK_NO_ENOBUFS:
    case NETLINK_CAP_ACK:
    case NETLINK_EXT_ACK:
    case NETLINK_GET_STRICT_CHK: return true;
    default: return false;
  }
}

}  // namespace

Result<std::string> NetlinkSocket::get_option(Caller&, int level, int name, size_t room) {
  if (level == SOL_NETLINK) {
    if (name == NETLINK_LIST_MEMBERSHIPS) {
      Lock lock(mu_);
      return option_value(groups_, room);
    }
    if (!is_switch(name)) return Err(ENOPROTOOPT);
    if (room < sizeof(int)) return Err(EINVAL);
    return option_value(int(has_switch(name)), room);
  }
  if (level != SOL_SOCKET) return Err(ENOPROTOOPT);
  switch (name) {
    case SO_TYPE: return option_value(type(), room);
    case SO_DOMAIN: return option_value(domain(), room);
    case SO_PROTOCOL: return option_value(protocol(), room);
    case SO_ACCEPTCONN: return option_value(0, room);
    case SO_ERROR: {
      Lock lock(mu_);
      return option_value(std::exchange(error_, 0), room);
    }
    case SO_COOKIE:
      if (room < sizeof(uint64_t)) return Err(EINVAL);
      return option_value(id(), room);
    default: return options_.get(name, room);
  }
}

Result<void> NetlinkSocket::set_option(Caller& caller, int level, int name,
                                       std::string_view value) {
  if (level == SOL_SOCKET) {
    // Linux: anybody but the network's administrator is held to the usual limits.
    if (name == SO_RCVBUFFORCE || name == SO_SNDBUFFORCE) {
      if (!network_->may_administer(caller.creds())) return Err(EPERM);
      name = name == SO_RCVBUFFORCE ? SO_RCVBUF : SO_SNDBUF;
    }
    return options_.set(name, value, caller.creds());
  }
  if (level != SOL_NETLINK) return Err(ENOPROTOOPT);
  const int number = TRY(option_int(value));
  if (name == NETLINK_ADD_MEMBERSHIP || name == NETLINK_DROP_MEMBERSHIP) {
    constexpr int kGroups = 64;
    if (number < 1 || number > kGroups) return Err(EINVAL);
    if (port() == 0) TRY(take_port(caller, 0));
    if (number > 32) return {};  // Not among those that nl_groups shows.
    const uint32_t bit = 1u << (number - 1);
    Lock lock(mu_);
    groups_ = name == NETLINK_ADD_MEMBERSHIP ? groups_ | bit : groups_ & ~bit;
    return {};
  }
  if (!is_switch(name)) return Err(ENOPROTOOPT);
  Lock lock(mu_);
  switches_ = number ? switches_ | 1u << name : switches_ & ~(1u << name);
  return {};
}

}  // namespace usk
