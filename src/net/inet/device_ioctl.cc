#include "net/inet/device_ioctl.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <algorithm>
#include <cstring>

namespace usk {
namespace {

constexpr std::string_view kName = "lo";

sockaddr as_sockaddr(const IpAddress& address) {
  const SocketAddress shown = show_address({address, 0}, AF_INET);
  sockaddr out{};
  memcpy(&out, shown.bytes.data(), std::min(sizeof out, shown.bytes.size()));
  return out;
}

const InetNetwork::Address* first_v4(const std::vector<InetNetwork::Address>& all) {
  auto it = std::ranges::find_if(all, [](const auto& a) { return a.address.is_v4(); });
  return it == all.end() ? nullptr : &*it;
}

short flags_of(const InetNetwork& network) {
  return short(IFF_LOOPBACK | (network.is_up() ? IFF_UP | IFF_RUNNING : 0));
}

Result<void> fill_address(const InetNetwork& network, uint32_t cmd, ifreq& r) {
  const auto all = network.addresses();
  const InetNetwork::Address* a = first_v4(all);
  if (!a) return Err(EADDRNOTAVAIL);
  switch (cmd) {
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR: r.ifr_addr = as_sockaddr(a->address); return {};
    case SIOCGIFNETMASK:
      r.ifr_netmask = as_sockaddr(IpAddress::v4(a->bits ? ~uint32_t(0) << (32 - a->bits) : 0));
      return {};
    default: r.ifr_broadaddr = as_sockaddr(IpAddress::v4(0)); return {};
  }
}

Result<void> get(const InetNetwork& network, uint32_t cmd, ifreq& r) {
  switch (cmd) {
    case SIOCGIFFLAGS: r.ifr_flags = flags_of(network); return {};
    case SIOCGIFINDEX: r.ifr_ifindex = InetNetwork::kDevice; return {};
    case SIOCGIFMTU: r.ifr_mtu = InetNetwork::kMtu; return {};
    case SIOCGIFMETRIC: r.ifr_metric = 0; return {};
    case SIOCGIFTXQLEN: r.ifr_qlen = 1000; return {};
    case SIOCGIFHWADDR:
      r.ifr_hwaddr = {};
      r.ifr_hwaddr.sa_family = ARPHRD_LOOPBACK;
      return {};
    case SIOCGIFMAP: r.ifr_map = {}; return {};
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR: return fill_address(network, cmd, r);
    default: return Err(ENOTTY);
  }
}

Result<void> set_address(InetNetwork& network, const ifreq& r) {
  SocketAddress given{std::string(reinterpret_cast<const char*>(&r.ifr_addr), sizeof(sockaddr))};
  const IpPort where = TRY(parse_address(given, AF_INET));
  const auto all = network.addresses();
  if (const InetNetwork::Address* old = first_v4(all)) {
    TRY(network.remove_address(old->address, old->bits));
  }
  // Linux: the prefix of the class that the address once was in.
  const uint32_t v = where.address.v4_value();
  const uint8_t bits = v >> 31 == 0 ? 8 : v >> 30 == 2 ? 16 : 24;
  return network.add_address({where.address, bits, 0, "lo"});
}

Result<void> set(Caller& caller, InetNetwork& network, uint32_t cmd, const ifreq& r) {
  if (!network.may_administer(caller.creds())) return Err(EPERM);
  switch (cmd) {
    case SIOCSIFFLAGS: network.set_up(r.ifr_flags & IFF_UP); return {};
    case SIOCSIFADDR: return set_address(network, r);
    default: return Err(EOPNOTSUPP);
  }
}

// SIOCGIFCONF: the device, once for each of its IPv4 addresses.
Result<int64_t> list(Caller& caller, const InetNetwork& network, uint64_t arg) {
  ifconf conf = TRY(caller.get<ifconf>(arg));
  if (conf.ifc_len < 0) return Err(EINVAL);
  int used = 0;
  for (const InetNetwork::Address& a : network.addresses()) {
    if (!a.address.is_v4()) continue;
    if (conf.ifc_buf) {
      if (conf.ifc_len - used < int(sizeof(ifreq))) break;
      ifreq r{};
      memcpy(r.ifr_name, kName.data(), kName.size());
      r.ifr_addr = as_sockaddr(a.address);
      TRY(caller.put(reinterpret_cast<uint64_t>(conf.ifc_buf) + uint64_t(used), r));
    }
    used += int(sizeof(ifreq));
  }
  conf.ifc_len = used;
  TRY(caller.put(arg, conf));
  return 0;
}

}  // namespace

bool is_device_request(uint32_t cmd) { return cmd >= SIOCGIFNAME && cmd <= SIOCSIFMAP; }

Result<int64_t> device_ioctl(Caller& caller, InetNetwork& network, uint32_t cmd, uint64_t arg) {
  if (!is_device_request(cmd)) return Err(ENOTTY);
  if (cmd == SIOCGIFCONF) return list(caller, network, arg);
  ifreq r = TRY(caller.get<ifreq>(arg));
  if (cmd == SIOCGIFNAME) {
    if (r.ifr_ifindex != InetNetwork::kDevice) return Err(ENODEV);
    memset(r.ifr_name, 0, sizeof r.ifr_name);
    memcpy(r.ifr_name, kName.data(), kName.size());
    TRY(caller.put(arg, r));
    return 0;
  }
  r.ifr_name[sizeof r.ifr_name - 1] = 0;
  if (r.ifr_name != kName) return Err(ENODEV);
  const auto got = get(network, cmd, r);
  if (failed_with(got, ENOTTY)) {
    TRY(set(caller, network, cmd, r));
    return 0;
  }
  TRY(got);
  TRY(caller.put(arg, r));
  return 0;
}

}  // namespace usk
