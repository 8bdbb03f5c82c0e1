// Addresses of the network in rules: syd(2), "ADDRESS MATCHING".
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/category.h"

namespace usk::policy {

enum class Protocol : uint8_t { kAny, kTcp, kMptcp, kUdp, kUdplite, kSctp, kDccp, kIcmp };

// A range of addresses of one family, both as 16 bytes (IPv4 in the first four).
struct Network {
  bool v6 = false;
  std::array<uint8_t, 16> address{};
  uint8_t bits = 0;
  bool contains(bool is_v6, const std::array<uint8_t, 16>& other) const;
  std::string text() const;
};

struct PortRange {
  uint16_t low = 0, high = 65535;
};

// An address as a call gives it, with the names for which it was looked up.
struct InetAddress {
  Protocol protocol = Protocol::kAny;
  bool v6 = false;
  std::array<uint8_t, 16> address{};
  uint16_t port = 0;
  std::span<const std::string> names = {};
};

// What of IPv4 and IPv6 a rule is about: networks and ports, or names of hosts and ports.
struct InetPattern {
  Protocol protocol = Protocol::kAny;
  std::vector<Network> networks;
  std::string name;  // A pattern for names of hosts; Usk's own "name!*.example.org!443".
  std::vector<PortRange> ports;
  bool matches(const InetAddress& address) const;
};

// "tcp!1.2.3.4!80"
std::string text_of(const InetAddress& address);

// "10.0.0.0/8", "::1", "loopback", "any4".
Parsed<std::vector<Network>> parse_networks(std::string_view text);
// "80", "8000-9000", "80,https,8000-9000", "*".
Parsed<std::vector<PortRange>> parse_ports(std::string_view text);

// A pattern of a rule for net/bind, net/connect and net/accept: for a socket's name ("/run/x",
// "@name", "!unnamed", "unix!/run/x"), or for IPv4 and IPv6 ("10.0.0.0/8!80", "tcp!loopback!*").
struct AddressPattern {
  std::string unix_glob;  // Empty: it is for the other.
  InetPattern inet;
};
Parsed<AddressPattern> parse_address(std::string_view text);

}  // namespace usk::policy
