#include "net/inet/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

namespace usk {
namespace {

constexpr std::array<uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
// Linux: a sockaddr_in6 of old has no scope.
constexpr size_t kShortestV6 = 24;

template <class T>
T read_as(const SocketAddress& a) {
  T v{};
  memcpy(&v, a.bytes.data(), std::min(sizeof v, a.bytes.size()));
  return v;
}

}  // namespace

IpAddress IpAddress::v4(uint32_t host_order) {
  IpAddress a;
  std::ranges::copy(kMapped, a.bytes.begin());
  for (int i = 0; i < 4; ++i) a.bytes[size_t(12 + i)] = uint8_t(host_order >> (24 - 8 * i));
  return a;
}

IpAddress IpAddress::loopback(bool v6) {
  if (!v6) return v4(INADDR_LOOPBACK);
  IpAddress a;
  a.bytes[15] = 1;
  return a;
}

bool IpAddress::is_v4() const { return memcmp(bytes.data(), kMapped.data(), kMapped.size()) == 0; }

bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes[12] & 0xf0) == 0xe0 : bytes[0] == 0xff;
}

uint32_t IpAddress::v4_value() const {
  uint32_t v = 0;
  for (size_t i = 12; i < 16; ++i) v = v << 8 | bytes[i];
  return v;
}

bool IpAddress::same_network(const IpAddress& other, unsigned bits) const {
  if (is_v4() != other.is_v4()) return false;
  if (is_v4()) bits += 96;
  for (size_t i = 0; i < bytes.size() && bits > 0; ++i) {
    const unsigned n = std::min(bits, 8u);
    if ((bytes[i] ^ other.bytes[i]) >> (8 - n)) return false;
    bits -= n;
  }
  return true;
}

Result<IpPort> parse_address(const SocketAddress& given, int domain, bool takes_v4) {
  const bool as_v4 = domain == AF_INET || (takes_v4 && given.family() == AF_INET);
  if (given.bytes.size() < (as_v4 ? sizeof(sockaddr_in) : kShortestV6)) return Err(EINVAL);
  if (given.family() != (as_v4 ? AF_INET : AF_INET6)) return Err(EAFNOSUPPORT);
  IpPort where;
  if (as_v4) {
    const auto a = read_as<sockaddr_in>(given);
    where = {IpAddress::v4(ntohl(a.sin_addr.s_addr)), ntohs(a.sin_port)};
  } else {
    const auto a = read_as<sockaddr_in6>(given);
    memcpy(where.address.bytes.data(), &a.sin6_addr, where.address.bytes.size());
    where.port = ntohs(a.sin6_port);
  }
  return where;
}

SocketAddress show_address(const IpPort& where, int domain) {
  auto bytes_of = [](const auto& a) {
    return SocketAddress{std::string(reinterpret_cast<const char*>(&a), sizeof a)};
  };
  if (domain == AF_INET) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(where.port);
    a.sin_addr.s_addr = htonl(where.address.v4_value());
    return bytes_of(a);
  }
  sockaddr_in6 a{};
  a.sin6_family = AF_INET6;
  a.sin6_port = htons(where.port);
  memcpy(&a.sin6_addr, where.address.bytes.data(), where.address.bytes.size());
  return bytes_of(a);
}

}  // namespace usk
