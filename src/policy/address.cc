#include "policy/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "policy/glob.h"

namespace usk::policy {
namespace {

struct Alias {
  std::string_view name, members;  // Separated by spaces.
};
constexpr Alias kAliases[] = {
    {"any", "0.0.0.0/0 ::/0"},
    {"*", "0.0.0.0/0 ::/0"},
    {"any4", "0.0.0.0/0"},
    {"any6", "::/0"},
    {"loopback", "127.0.0.0/8 ::1/128"},
    {"localhost", "127.0.0.0/8 ::1/128"},  // RFC 6761: that name is no other's.
    {"loopback4", "127.0.0.0/8"},
    {"loopback6", "::1/128"},
    {"linklocal", "169.254.0.0/16 fe80::/10"},
    {"linklocal4", "169.254.0.0/16"},
    {"linklocal6", "fe80::/10"},
    {"local",
     "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 ::1/128 fe80::/10 fc00::/7 fec0::/10"},
    {"local4", "127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"},
    {"local6", "::1/128 fe80::/10 fc00::/7 fec0::/10"},
    {"multicast", "224.0.0.0/4 ff00::/8"},
    {"multicast4", "224.0.0.0/4"},
    {"multicast6", "ff00::/8"},
};

// services(5), of which a host may have none.
struct Service {
  std::string_view name;
  uint16_t port;
};
constexpr Service kServices[] = {
    {"ssh", 22},     {"smtp", 25},    {"domain", 53},       {"http", 80},       {"ntp", 123},
    {"imap", 143},   {"snmp", 161},   {"ldap", 389},        {"https", 443},     {"submission", 587},
    {"ldaps", 636},  {"rsync", 873},  {"imaps", 993},       {"mysql", 3306},    {"svn", 3690},
    {"amqp", 5672},  {"redis", 6379}, {"postgresql", 5432}, {"http-alt", 8080}, {"git", 9418},
    {"kafka", 9092},
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return tolower(c); });
  return out;
}

template <class T>
bool parse_number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

Parsed<Network> parse_network(std::string_view text) {
  Network n;
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  if (inet_pton(AF_INET, address.c_str(), n.address.data()) == 1) {
    n.bits = 32;
  } else if (inet_pton(AF_INET6, address.c_str(), n.address.data()) == 1) {
    n.v6 = true;
    n.bits = 128;
  } else {
    return std::unexpected(fmt::format("'{}' is no address and no alias of one", address));
  }
  if (slash != text.npos) {
    const uint8_t most = n.bits;
    if (!parse_number(text.substr(slash + 1), n.bits) || n.bits > most) {
      return std::unexpected(
          fmt::format("'{}' is no length of a network's prefix", text.substr(slash + 1)));
    }
  }
  return n;
}

struct NetworkName {
  std::string_view name;
  Protocol protocol;
  int family;  // 0: both.
};
constexpr NetworkName kNetworkNames[] = {
#define NAMES(name, protocol) {name, protocol, 0}, {name "4", protocol, 4}, {name "6", protocol, 6}
    NAMES("tcp", Protocol::kTcp),   NAMES("mptcp", Protocol::kMptcp),
    NAMES("udp", Protocol::kUdp),   NAMES("udplite", Protocol::kUdplite),
    NAMES("sctp", Protocol::kSctp), NAMES("dccp", Protocol::kDccp),
    NAMES("icmp", Protocol::kIcmp), NAMES("net", Protocol::kAny),
#undef NAMES
};

// "tcp!", "NET6!" at the beginning: a name of the list, in any case.
const NetworkName* network_name(std::string_view text) {
  const std::string name = lower(text);
  for (const NetworkName& n : kNetworkNames) {
    if (n.name == name) return &n;
  }
  return nullptr;
}

Parsed<AddressPattern> unix_pattern(std::string_view text) {
  if (auto glob = parse_glob(text); !glob) return std::unexpected(glob.error());
  if (text[0] != '/' && text[0] != '@' && text[0] != '!') {
    return std::unexpected(fmt::format("'{}' is neither a path nor @name nor !unnamed", text));
  }
  return AddressPattern{.unix_glob = std::string(text), .inet = {}};
}

Parsed<AddressPattern> inet_pattern(std::string_view text, Protocol protocol, int family) {
  // Only the last '!' parts address and ports.
  const size_t mark = text.rfind('!');
  if (mark == text.npos) {
    return std::unexpected(fmt::format("'{}' names no port; write ADDRESS!PORT", text));
  }
  auto networks = parse_networks(text.substr(0, mark));
  if (!networks) return std::unexpected(networks.error());
  auto ports = parse_ports(text.substr(mark + 1));
  if (!ports) return std::unexpected(ports.error());
  AddressPattern out;
  out.inet = {protocol, *std::move(networks), "", *std::move(ports)};
  if (family) {
    std::erase_if(out.inet.networks, [&](const Network& n) { return n.v6 != (family == 6); });
    if (out.inet.networks.empty()) {
      return std::unexpected(fmt::format("'{}' is of the other family", text));
    }
  }
  return out;
}

// name!PATTERN!PORTS
Parsed<AddressPattern> host_pattern(std::string_view text) {
  const size_t mark = text.rfind('!');
  if (mark == text.npos || mark == 0) {
    return std::unexpected("write name!HOST!PORT, as in name!*.example.org!443");
  }
  AddressPattern out;
  out.inet.name = lower(text.substr(0, mark));
  if (auto glob = parse_glob(out.inet.name); !glob) return std::unexpected(glob.error());
  auto ports = parse_ports(text.substr(mark + 1));
  if (!ports) return std::unexpected(ports.error());
  out.inet.ports = *std::move(ports);
  return out;
}

}  // namespace

bool Network::contains(bool is_v6, const std::array<uint8_t, 16>& other) const {
  if (is_v6 != v6) return false;
  const size_t whole = bits / 8, rest = bits % 8;
  if (memcmp(address.data(), other.data(), whole) != 0) return false;
  if (rest == 0) return true;
  const auto mask = uint8_t(0xff << (8 - rest));
  return ((address[whole] ^ other[whole]) & mask) == 0;
}

Network Network::around(bool v6, const std::array<uint8_t, 16>& address, uint8_t bits) {
  Network n{v6, address, bits};
  for (size_t i = 0; i < n.address.size(); i++) {
    const int kept = std::clamp(int(bits) - int(8 * i), 0, 8);
    n.address[i] &= uint8_t(0xff << (8 - kept));
  }
  return n;
}

std::vector<HostName> parse_hosts(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  std::vector<HostName> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    std::optional<Network> address;
    while (true) {
      const size_t begin = line.find_first_not_of(kBlank);
      if (begin == line.npos) break;
      const size_t stop = std::min(line.find_first_of(kBlank, begin), line.size());
      const std::string_view word = line.substr(begin, stop - begin);
      line.remove_prefix(stop);
      if (!address) {
        const auto n = word.contains('/') ? std::unexpected("") : parse_network(word);
        if (!n) break;
        address = *n;
      } else {
        out.push_back({lower(word), *address});
      }
    }
  }
  return out;
}

std::string Network::text() const {
  char out[INET6_ADDRSTRLEN];
  inet_ntop(v6 ? AF_INET6 : AF_INET, address.data(), out, sizeof(out));
  return fmt::format("{}/{}", out, bits);
}

bool InetPattern::matches(const InetAddress& a) const {
  if (protocol != Protocol::kAny && protocol != a.protocol) return false;
  const auto in_range = [&](const PortRange& p) { return a.port >= p.low && a.port <= p.high; };
  if (std::ranges::none_of(ports, in_range)) return false;
  return std::ranges::any_of(networks,
                             [&](const Network& n) { return n.contains(a.v6, a.address); });
}

std::string text_of(const InetAddress& a) {
  char out[INET6_ADDRSTRLEN];
  inet_ntop(a.v6 ? AF_INET6 : AF_INET, a.address.data(), out, sizeof(out));
  std::string_view protocol = "net";
  for (const NetworkName& n : kNetworkNames) {
    if (n.protocol == a.protocol && n.family == 0) protocol = n.name;
  }
  return fmt::format("{}!{}!{}", protocol, out, a.port);
}

std::optional<InetAddress> parse_inet_address(std::string_view text) {
  const size_t first = text.find('!'), last = text.rfind('!');
  if (first == text.npos || first == last) return std::nullopt;
  const NetworkName* protocol = network_name(text.substr(0, first));
  const std::string_view address = text.substr(first + 1, last - first - 1);
  if (!protocol || address.contains('/')) return std::nullopt;
  const auto n = parse_network(address);
  InetAddress out;
  if (!n || !parse_number(text.substr(last + 1), out.port)) return std::nullopt;
  out.protocol = protocol->protocol;
  out.v6 = n->v6;
  out.address = n->address;
  return out;
}

Parsed<std::vector<Network>> parse_networks(std::string_view text) {
  std::string_view members = text;
  for (const Alias& a : kAliases) {
    if (a.name == text) members = a.members;
  }
  std::vector<Network> out;
  while (true) {
    const size_t space = members.find(' ');
    auto n = parse_network(members.substr(0, space));
    if (!n) return std::unexpected(n.error());
    out.push_back(*n);
    if (space == members.npos) return out;
    members.remove_prefix(space + 1);
  }
}

static std::optional<PortRange> parse_port(std::string_view text) {
  for (const Service& s : kServices) {
    if (s.name == text) return PortRange{s.port, s.port};
  }
  PortRange range;
  if (text == "*") return range;
  const size_t dash = text.find('-');
  if (!parse_number(text.substr(0, dash), range.low)) return {};
  range.high = range.low;
  if (dash != text.npos && !parse_number(text.substr(dash + 1), range.high)) return {};
  return range.low <= range.high ? std::optional(range) : std::nullopt;
}

Parsed<std::vector<PortRange>> parse_ports(std::string_view text) {
  std::vector<PortRange> out;
  while (true) {
    const size_t comma = text.find(',');
    const std::string_view one = text.substr(0, comma);
    const auto range = parse_port(one);
    if (!range) {
      return std::unexpected(fmt::format("'{}' is no port, range of ports or service", one));
    }
    out.push_back(*range);
    if (comma == text.npos) return out;
    text.remove_prefix(comma + 1);
  }
}

Parsed<AddressPattern> parse_address(std::string_view text) {
  if (text.empty()) return std::unexpected("the address is empty");
  if (text[0] == '/' || text[0] == '@' || text[0] == '!') return unix_pattern(text);
  const size_t mark = text.find('!');
  if (mark != text.npos) {
    const std::string_view first = text.substr(0, mark), rest = text.substr(mark + 1);
    if (first == "unix" || first == "unixgram" || first == "unixpacket") {
      if (rest.empty()) return std::unexpected("the address is empty");
      return unix_pattern(rest);
    }
    if (first == "name") return host_pattern(rest);
    if (const NetworkName* n = network_name(first)) {
      return inet_pattern(rest, n->protocol, n->family);
    }
  }
  return inet_pattern(text, Protocol::kAny, 0);
}

}  // namespace usk::policy
