#include "net/inet/datagram.h"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <cstring>

#include "base/timer.h"
#include "net/inet/network.h"

namespace usk {
namespace {

template <class T>
ControlData::Raw raw(int level, int type, const T& value) {
  return {level, type, std::string(reinterpret_cast<const char*>(&value), sizeof value)};
}

template <class T>
Result<T> body(const ControlData::Raw& r) {
  T v;
  if (r.bytes.size() != sizeof v) return Err(EINVAL);
  memcpy(&v, r.bytes.data(), sizeof v);
  return v;
}

Result<void> read_v4(const ControlData::Raw& r, PacketWish& w) {
  switch (r.type) {
    case IP_PKTINFO: {
      const auto info = TRY(body<in_pktinfo>(r));
      if (info.ipi_spec_dst.s_addr) w.source = IpAddress::v4(ntohl(info.ipi_spec_dst.s_addr));
      if (info.ipi_ifindex != 0 && info.ipi_ifindex != InetNetwork::kDevice) return Err(ENODEV);
      return {};
    }
    case IP_TTL:
      w.hop_limit = TRY(body<int>(r));
      return *w.hop_limit < 1 || *w.hop_limit > 255 ? Err(EINVAL) : Result<void>();
    case IP_TOS:
      if (r.bytes.size() == 1) {
        w.traffic_class = uint8_t(r.bytes[0]);
      } else {
        w.traffic_class = TRY(body<int>(r));
      }
      return *w.traffic_class < 0 || *w.traffic_class > 255 ? Err(EINVAL) : Result<void>();
    default: return Err(EINVAL);
  }
}

Result<void> read_v6(const ControlData::Raw& r, PacketWish& w) {
  switch (r.type) {
    case IPV6_PKTINFO:
    case IPV6_2292PKTINFO: {
      const auto info = TRY(body<in6_pktinfo>(r));
      IpAddress source;
      memcpy(source.bytes.data(), &info.ipi6_addr, source.bytes.size());
      if (!source.is_any()) w.source = source;
      if (info.ipi6_ifindex != 0 && info.ipi6_ifindex != InetNetwork::kDevice) return Err(ENODEV);
      return {};
    }
    case IPV6_HOPLIMIT:
    case IPV6_2292HOPLIMIT: {
      const int limit = TRY(body<int>(r));
      if (limit < -1 || limit > 255) return Err(EINVAL);
      if (limit >= 0) w.hop_limit = limit;
      return {};
    }
    case IPV6_TCLASS: {
      const int value = TRY(body<int>(r));
      if (value < -1 || value > 255) return Err(EINVAL);
      if (value >= 0) w.traffic_class = value;
      return {};
    }
    case IPV6_DONTFRAG: return {};
    default: return Err(EINVAL);
  }
}

}  // namespace

Result<PacketWish> packet_wish(const ControlData& control, bool v6) {
  PacketWish w;
  for (const auto& r : control.others) {
    if (r.level == IPPROTO_IP) TRY(read_v4(r, w));
    if (r.level == IPPROTO_IPV6 && v6) TRY(read_v6(r, w));
  }
  return w;
}

std::vector<ControlData::Raw> describe(const Datagram& d, bool v6, const InetOptions& options) {
  std::vector<ControlData::Raw> out;
  auto wants = [&](int name) { return options.flag(IPPROTO_IP, name); };
  auto wants6 = [&](int name) { return v6 && options.flag(IPPROTO_IPV6, name); };
  if (d.to.address.is_v4()) {
    const in_addr to{htonl(d.to.address.v4_value())};
    if (wants(IP_PKTINFO)) {
      out.push_back(raw(IPPROTO_IP, IP_PKTINFO, in_pktinfo{InetNetwork::kDevice, to, to}));
    }
    if (wants(IP_RECVTTL)) out.push_back(raw(IPPROTO_IP, IP_TTL, d.hop_limit));
    if (wants(IP_RECVTOS)) out.push_back(raw(IPPROTO_IP, IP_TOS, uint8_t(d.traffic_class)));
    if (wants(IP_RECVORIGDSTADDR)) {
      const std::string shown = show_address(d.to, AF_INET).bytes;
      out.push_back({IPPROTO_IP, IP_ORIGDSTADDR, shown});
    }
  }
  if (wants6(IPV6_RECVPKTINFO)) {
    in6_pktinfo info{};
    memcpy(&info.ipi6_addr, d.to.address.bytes.data(), sizeof info.ipi6_addr);
    info.ipi6_ifindex = InetNetwork::kDevice;
    out.push_back(raw(IPPROTO_IPV6, IPV6_PKTINFO, info));
  }
  if (d.to.address.is_v4()) return out;
  if (wants6(IPV6_RECVHOPLIMIT)) out.push_back(raw(IPPROTO_IPV6, IPV6_HOPLIMIT, d.hop_limit));
  if (wants6(IPV6_RECVTCLASS)) out.push_back(raw(IPPROTO_IPV6, IPV6_TCLASS, d.traffic_class));
  return out;
}

ControlData::Raw timestamp(int64_t time, bool nanoseconds) {
  const time_t s = time / kNsPerSecond;
  if (nanoseconds) return raw(SOL_SOCKET, SO_TIMESTAMPNS, timespec{s, time % kNsPerSecond});
  return raw(SOL_SOCKET, SO_TIMESTAMP, timeval{s, time % kNsPerSecond / 1000});
}

ControlData::Raw describe_error(const IpPort& to, bool v6, int error) {
  sock_extended_err e{};
  e.ee_errno = uint32_t(error);
  const bool v4 = to.address.is_v4();
  e.ee_origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
  e.ee_type = v4 ? 3 : 1;  // Destination unreachable,
  e.ee_code = v4 ? 3 : 4;  // the port.
  std::string bytes(reinterpret_cast<const char*>(&e), sizeof e);
  bytes += show_address({to.address, 0}, v6 ? AF_INET6 : AF_INET).bytes;
  return {v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVERR : IP_RECVERR, std::move(bytes)};
}

}  // namespace usk
