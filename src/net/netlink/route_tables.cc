// What rtnetlink(7) tells of the loopback device.
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/netlink/route.h"

namespace usk::netlink {
namespace {

constexpr std::string_view kDevice = "lo";
constexpr uint8_t kOperUnknown = 0, kOperDown = 2;  // RFC 2863

std::string address_bytes(const IpAddress& a) {
  const std::string all(reinterpret_cast<const char*>(a.bytes.data()), a.bytes.size());
  return a.is_v4() ? all.substr(12) : all;
}

uint8_t family_of(const IpAddress& a) { return a.is_v4() ? AF_INET : AF_INET6; }

void put_link(InetNetwork& network, Replies& replies) {
  const bool up = network.is_up();
  ifinfomsg head{};
  head.ifi_type = ARPHRD_LOOPBACK;
  head.ifi_index = InetNetwork::kDevice;
  head.ifi_flags = IFF_LOOPBACK | (up ? IFF_UP | IFF_RUNNING | IFF_LOWER_UP : 0);
  replies.begin(RTM_NEWLINK, bytes_of(head));
  replies.text(IFLA_IFNAME, kDevice);
  replies.number(IFLA_TXQLEN, uint32_t(1000));
  replies.number(IFLA_OPERSTATE, up ? kOperUnknown : kOperDown);
  replies.number(IFLA_LINKMODE, uint8_t(0));
  replies.number(IFLA_MTU, uint32_t(InetNetwork::kMtu));
  for (uint16_t type : {IFLA_MIN_MTU, IFLA_MAX_MTU, IFLA_GROUP, IFLA_PROMISCUITY}) {
    replies.number(type, uint32_t(0));
  }
  replies.number(IFLA_NUM_TX_QUEUES, uint32_t(1));
  replies.number(IFLA_NUM_RX_QUEUES, uint32_t(1));
  replies.number(IFLA_CARRIER, uint8_t(1));
  replies.text(IFLA_QDISC, up ? "noqueue" : "noop");
  replies.number(IFLA_CARRIER_CHANGES, uint32_t(0));
  replies.attribute(IFLA_ADDRESS, std::string(6, '\0'));
  replies.attribute(IFLA_BROADCAST, std::string(6, '\0'));
  rtnl_link_stats64 wide{};
  wide.rx_packets = wide.tx_packets = network.counts.segments;
  wide.rx_bytes = wide.tx_bytes = network.counts.bytes;
  replies.number(IFLA_STATS64, wide);
  rtnl_link_stats narrow{};
  narrow.rx_packets = narrow.tx_packets = uint32_t(wide.rx_packets);
  narrow.rx_bytes = narrow.tx_bytes = uint32_t(wide.rx_bytes);
  replies.number(IFLA_STATS, narrow);
}

void put_address(const InetNetwork::Address& a, Replies& replies) {
  ifaddrmsg head{};
  head.ifa_family = family_of(a.address);
  head.ifa_prefixlen = a.bits;
  head.ifa_flags = IFA_F_PERMANENT;
  head.ifa_scope = a.scope;
  head.ifa_index = InetNetwork::kDevice;
  replies.begin(RTM_NEWADDR, bytes_of(head));
  replies.attribute(IFA_ADDRESS, address_bytes(a.address));
  if (a.address.is_v4()) {
    replies.attribute(IFA_LOCAL, address_bytes(a.address));
    replies.text(IFA_LABEL, a.label);
  }
  replies.number(IFA_FLAGS, uint32_t(IFA_F_PERMANENT));
  replies.number(IFA_CACHEINFO, ifa_cacheinfo{UINT32_MAX, UINT32_MAX, 0, 0});
}

// A route of the table "local".
void put_route(const IpAddress& to, uint8_t bits, uint8_t type, const IpAddress* from,
               Replies& replies) {
  rtmsg head{};
  head.rtm_family = family_of(to);
  head.rtm_dst_len = bits;
  head.rtm_table = RT_TABLE_LOCAL;
  head.rtm_protocol = RTPROT_KERNEL;
  head.rtm_scope = !to.is_v4()             ? RT_SCOPE_UNIVERSE
                   : type == RTN_BROADCAST ? RT_SCOPE_LINK
                                           : RT_SCOPE_HOST;
  head.rtm_type = type;
  replies.begin(RTM_NEWROUTE, bytes_of(head));
  replies.number(RTA_TABLE, uint32_t(RT_TABLE_LOCAL));
  replies.attribute(RTA_DST, address_bytes(to));
  if (from) replies.attribute(RTA_PREFSRC, address_bytes(*from));
  if (!to.is_v4()) replies.number(RTA_PRIORITY, uint32_t(0));
  replies.number(RTA_OIF, uint32_t(InetNetwork::kDevice));
}

void put_routes_of(const InetNetwork::Address& a, Replies& replies) {
  if (!a.address.is_v4()) {
    put_route(a.address, 128, RTN_LOCAL, nullptr, replies);
    return;
  }
  const uint32_t mask = a.bits ? ~uint32_t(0) << (32 - a.bits) : 0;
  const uint32_t network = a.address.v4_value() & mask;
  if (a.bits < 32) put_route(IpAddress::v4(network), a.bits, RTN_LOCAL, &a.address, replies);
  put_route(a.address, 32, RTN_LOCAL, &a.address, replies);
  if (a.bits < 31) {
    put_route(IpAddress::v4(network | ~mask), 32, RTN_BROADCAST, &a.address, replies);
  }
}

// Which way a packet to one address goes.
Result<void> find_route(InetNetwork& network, const Request& request, Replies& replies) {
  const rtmsg head = TRY(request.head<rtmsg>());
  const auto attributes = TRY(request.attributes(sizeof head));
  const bool v4 = head.rtm_family == AF_INET;
  if (!v4 && head.rtm_family != AF_INET6) return Err(EAFNOSUPPORT);
  IpAddress to = IpAddress::any(!v4);
  if (auto it = attributes.find(RTA_DST); it != attributes.end()) {
    const size_t size = v4 ? 4 : 16;
    if (it->second.size() < size) return Err(EINVAL);
    memcpy(to.bytes.data() + (16 - size), it->second.data(), size);
  }
  const IpAddress from = TRY(network.source_for(to));
  rtmsg answer{};
  answer.rtm_family = head.rtm_family;
  answer.rtm_dst_len = v4 ? 32 : 128;
  answer.rtm_table = RT_TABLE_LOCAL;
  answer.rtm_type = RTN_LOCAL;
  answer.rtm_flags = RTM_F_CLONED;
  replies.begin(RTM_NEWROUTE, bytes_of(answer));
  replies.number(RTA_TABLE, uint32_t(RT_TABLE_LOCAL));
  replies.attribute(RTA_DST, address_bytes(to));
  replies.number(RTA_OIF, uint32_t(InetNetwork::kDevice));
  replies.attribute(RTA_PREFSRC, address_bytes(from));
  replies.number(RTA_CACHEINFO, rta_cacheinfo{});
  return {};
}

// Linux: a program of old sends one byte, the family.
uint8_t family_asked(const Request& request) {
  return request.body.empty() ? uint8_t(AF_UNSPEC) : uint8_t(request.body[0]);
}

}  // namespace

Result<void> list_links(InetNetwork& network, const Request& request, Replies& replies) {
  if (!request.is_dump()) {
    const ifinfomsg head = TRY(request.head<ifinfomsg>());
    const auto attributes = TRY(request.attributes(sizeof head));
    auto it = attributes.find(IFLA_IFNAME);
    const bool by_name = head.ifi_index <= 0 && it != attributes.end();
    if (head.ifi_index <= 0 && !by_name) return Err(EINVAL);
    const bool found = by_name ? it->second.substr(0, it->second.find('\0')) == kDevice
                               : head.ifi_index == InetNetwork::kDevice;
    if (!found) return Err(ENODEV);
  }
  put_link(network, replies);
  return {};
}

Result<void> list_addresses(InetNetwork& network, const Request& request, Replies& replies) {
  if (!request.is_dump()) return Err(EOPNOTSUPP);
  const uint8_t family = family_asked(request);
  const auto head = request.head<ifaddrmsg>();
  const uint32_t device = head ? head->ifa_index : 0;
  if (device != 0 && device != uint32_t(InetNetwork::kDevice)) return {};
  for (bool v4 : {true, false}) {
    for (const auto& a : network.addresses()) {
      if (a.address.is_v4() != v4) continue;
      if (family == AF_UNSPEC || family == family_of(a.address)) put_address(a, replies);
    }
  }
  return {};
}

Result<void> list_routes(InetNetwork& network, const Request& request, Replies& replies) {
  if (!request.is_dump()) return find_route(network, request, replies);
  if (!network.is_up()) return {};
  const uint8_t family = family_asked(request);
  for (bool v4 : {true, false}) {
    for (const auto& a : network.addresses()) {
      if (a.address.is_v4() != v4) continue;
      if (family == AF_UNSPEC || family == family_of(a.address)) put_routes_of(a, replies);
    }
  }
  return {};
}

Result<void> list_rules(const Request& request, Replies& replies) {
  if (!request.is_dump()) return Err(EOPNOTSUPP);
  constexpr uint16_t kTable = 15, kPriority = 6;  // FRA_TABLE, FRA_PRIORITY
  struct {
    uint8_t family, table;
    uint32_t priority;
  } const rules[] = {{AF_INET, RT_TABLE_LOCAL, 0},
                     {AF_INET, RT_TABLE_MAIN, 32766},
                     {AF_INET, RT_TABLE_DEFAULT, 32767},
                     {AF_INET6, RT_TABLE_LOCAL, 0},
                     {AF_INET6, RT_TABLE_MAIN, 32766}};
  const uint8_t family = family_asked(request);
  for (const auto& rule : rules) {
    if (family != AF_UNSPEC && family != rule.family) continue;
    rtmsg head{};  // As long as a struct fib_rule_hdr.
    head.rtm_family = rule.family;
    head.rtm_table = rule.table;
    head.rtm_type = RTN_UNICAST;
    replies.begin(RTM_NEWRULE, bytes_of(head));
    replies.number(kTable, uint32_t(rule.table));
    if (rule.priority) replies.number(kPriority, rule.priority);
  }
  return {};
}

}  // namespace usk::netlink
