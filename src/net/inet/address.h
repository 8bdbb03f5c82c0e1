// Addresses of IPv4 and IPv6: ip(7), ipv6(7).
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "base/fields.h"
#include "base/result.h"
#include "fs/vfs/socket.h"

namespace usk {

// An address of either family: those of IPv4 as IPv6 maps them (::ffff:a.b.c.d), so that sockets
// of both can be compared.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};

  // `host_order` 127.0.0.1 is 0x7f000001.
  static IpAddress v4(uint32_t host_order);
  static IpAddress any(bool v6) { return v6 ? IpAddress() : v4(0); }
  static IpAddress loopback(bool v6);

  bool is_v4() const;
  bool is_any() const { return *this == any(!is_v4()); }
  bool is_multicast() const;
  uint32_t v4_value() const;  // In host order.
  // Whether the first `bits` (of 32 for IPv4, else of 128) are the same.
  bool same_network(const IpAddress& other, unsigned bits) const;

  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  USK_FIELDS(bytes)
};

struct IpPort {
  IpAddress address;
  uint16_t port = 0;
  friend auto operator<=>(const IpPort&, const IpPort&) = default;
  USK_FIELDS(address, port)
};

// Reads what a program gave to a socket of `domain` (AF_INET or AF_INET6). EINVAL where it is too
// short, EAFNOSUPPORT for another family; `takes_v4`: a socket of AF_INET6 takes AF_INET, too.
Result<IpPort> parse_address(const SocketAddress& given, int domain, bool takes_v4 = false);
// As a socket of `domain` shows it.
SocketAddress show_address(const IpPort& where, int domain);

}  // namespace usk
