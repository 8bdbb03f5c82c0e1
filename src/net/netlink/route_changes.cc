// What rtnetlink(7) changes: the loopback device up and down, its addresses.
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/netlink/route.h"

namespace usk::netlink {
namespace {

std::string_view text(std::string_view value) { return value.substr(0, value.find('\0')); }

Result<InetNetwork::Address> address_asked(const Request& request) {
  const ifaddrmsg head = TRY(request.head<ifaddrmsg>());
  const auto attributes = TRY(request.attributes(sizeof head));
  if (head.ifa_family != AF_INET && head.ifa_family != AF_INET6) return Err(EOPNOTSUPP);
  const bool v4 = head.ifa_family == AF_INET;
  auto it = attributes.find(IFA_LOCAL);
  if (it == attributes.end()) it = attributes.find(IFA_ADDRESS);
  const size_t size = v4 ? 4 : 16;
  if (it == attributes.end() || it->second.size() < size) return Err(EINVAL);
  if (head.ifa_prefixlen > size * 8) return Err(EINVAL);
  if (head.ifa_index != uint32_t(InetNetwork::kDevice)) return Err(ENODEV);
  InetNetwork::Address a;
  a.address = IpAddress::any(!v4);
  memcpy(a.address.bytes.data() + (16 - size), it->second.data(), size);
  a.bits = head.ifa_prefixlen;
  a.scope = head.ifa_scope;
  a.label = "lo";
  if (auto label = attributes.find(IFA_LABEL); label != attributes.end()) {
    a.label = text(label->second).substr(0, IFNAMSIZ - 1);
  }
  return a;
}

}  // namespace

Result<void> change_link(InetNetwork& network, const Request& request) {
  const ifinfomsg head = TRY(request.head<ifinfomsg>());
  const auto attributes = TRY(request.attributes(sizeof head));
  auto name = attributes.find(IFLA_IFNAME);
  const bool named = name != attributes.end();
  const bool found = head.ifi_index > 0 ? head.ifi_index == InetNetwork::kDevice
                                        : named && text(name->second) == "lo";
  const int flags = request.header.nlmsg_flags;
  if (!found) {
    // No other kind of device can be made.
    return Err((flags & NLM_F_CREATE) && head.ifi_index <= 0 ? EOPNOTSUPP : ENODEV);
  }
  if (flags & NLM_F_EXCL) return Err(EEXIST);
  if (named && text(name->second) != "lo") return Err(EOPNOTSUPP);
  if (attributes.contains(IFLA_NET_NS_PID) || attributes.contains(IFLA_NET_NS_FD)) {
    return Err(EINVAL);
  }
  if (auto mtu = attributes.find(IFLA_MTU); mtu != attributes.end()) {
    const uint32_t same = InetNetwork::kMtu;
    if (mtu->second != std::string_view(bytes_of(same))) return Err(EOPNOTSUPP);
  }
  const unsigned changed = head.ifi_change ? head.ifi_change : head.ifi_flags ? ~0u : 0u;
  if (changed & IFF_UP) network.set_up(head.ifi_flags & IFF_UP);
  return {};
}

Result<void> add_address(InetNetwork& network, const Request& request, Replies& replies) {
  const InetNetwork::Address a = TRY(address_asked(request));
  const auto added = network.add_address(a);
  const bool replaces = request.header.nlmsg_flags & NLM_F_REPLACE;
  if (failed_with(added, EEXIST) && replaces) return {};
  if (failed_with(added, EEXIST)) {
    replies.explain(a.address.is_v4() ? "ipv4: Address already assigned"
                                      : "ipv6: address already assigned");
  }
  return added;
}

Result<void> remove_address(InetNetwork& network, const Request& request, Replies& replies) {
  const InetNetwork::Address a = TRY(address_asked(request));
  const auto removed = network.remove_address(a.address, a.bits);
  if (!removed) {
    replies.explain(a.address.is_v4() ? "ipv4: Address not found" : "ipv6: address not found");
  }
  return removed;
}

}  // namespace usk::netlink
