// Addresses of the network in rules: syd(2), "ADDRESS MATCHING".
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
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
  auto operator<=>(const Network&) const = default;
  bool contains(bool is_v6, const std::array<uint8_t, 16>& other) const;
  // The network of so many bits that holds the address: what does not count is 0.
  static Network around(bool v6, const std::array<uint8_t, 16>& address, uint8_t bits);
  std::string text() const;
};

// An address of a host, by one of its names: hosts(5).
struct HostName {
  std::string name;
  Network address;
};
// The lines of such a file; what is no address is skipped, as libraries do.
std::vector<HostName> parse_hosts(std::string_view text);

struct PortRange {
  uint16_t low = 0, high = 65535;
};

// An address as a call gives it.
struct InetAddress {
  Protocol protocol = Protocol::kAny;
  bool v6 = false;
  std::array<uint8_t, 16> address{};
  uint16_t port = 0;
};

// What of IPv4 and IPv6 a rule is about: networks and ports.
struct InetPattern {
  Protocol protocol = Protocol::kAny;
  std::vector<Network> networks;
  // A pattern for names of hosts, Usk's own "name!*.example.org!443". Their addresses become
  // `networks` when the rule is read: later names could be told anything.
  std::string name;
  std::vector<PortRange> ports;
  bool matches(const InetAddress& address) const;
};

// "tcp!1.2.3.4!80", and back.
std::string text_of(const InetAddress& address);
std::optional<InetAddress> parse_inet_address(std::string_view text);

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
