#include "policy/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

namespace usk::policy {
namespace {

InetAddress address(const char* text, uint16_t port, Protocol protocol = Protocol::kTcp) {
  InetAddress a{.protocol = protocol, .port = port};
  a.v6 = inet_pton(AF_INET, text, a.address.data()) != 1;
  if (a.v6) {
    EXPECT_EQ(inet_pton(AF_INET6, text, a.address.data()), 1) << text;
  }
  return a;
}

bool match(const char* pattern, const InetAddress& a) {
  const auto p = parse_address(pattern);
  EXPECT_TRUE(p) << pattern << ": " << p.error();
  return p && p->inet.matches(a);
}

TEST(Address, NetworksAndPorts) {
  EXPECT_TRUE(match("127.0.0.1!80", address("127.0.0.1", 80)));
  EXPECT_FALSE(match("127.0.0.1!80", address("127.0.0.1", 81)));
  EXPECT_TRUE(match("10.0.0.0/8!22,80,8000-9000", address("10.1.2.3", 8500)));
  EXPECT_FALSE(match("10.0.0.0/8!22,80,8000-9000", address("11.1.2.3", 22)));
  EXPECT_TRUE(match("172.16.0.0/12!*", address("172.31.255.255", 1)));
  EXPECT_FALSE(match("172.16.0.0/12!*", address("172.32.0.0", 1)));
  EXPECT_TRUE(match("::1!8080", address("::1", 8080)));
  EXPECT_TRUE(match("fe80::/10!0-65535", address("febf::1", 9)));
  EXPECT_FALSE(match("0.0.0.0/0!*", address("::1", 9)));
}

TEST(Address, AliasesStandForNetworks) {
  EXPECT_TRUE(match("any!53", address("9.9.9.9", 53)));
  EXPECT_TRUE(match("any!53", address("::2", 53)));
  EXPECT_FALSE(match("any4!53", address("::2", 53)));
  EXPECT_TRUE(match("loopback!1024-65535", address("127.3.4.5", 5000)));
  EXPECT_TRUE(match("local6!1", address("fd00::1", 1)));
  EXPECT_TRUE(match("multicast4!1", address("239.1.1.1", 1)));
}

TEST(Address, DialStringsTellProtocolsApart) {
  EXPECT_TRUE(match("tcp!127.0.0.1!80", address("127.0.0.1", 80)));
  EXPECT_FALSE(match("udp!127.0.0.1!80", address("127.0.0.1", 80)));
  EXPECT_TRUE(match("TCP6!*!443", address("::5", 443)));
  EXPECT_FALSE(match("tcp6!*!443", address("1.2.3.4", 443)));
  EXPECT_TRUE(match("net!::1!8080", address("::1", 8080, Protocol::kUdp)));
}

TEST(Address, NamesOfServicesAndThisHost) {
  EXPECT_TRUE(match("localhost!http", address("127.0.0.1", 80)));
  EXPECT_TRUE(match("tcp!localhost!22,https", address("::1", 443)));
  EXPECT_TRUE(match("loopback!http-alt", address("127.0.0.1", 8080)));
  EXPECT_FALSE(match("localhost!http", address("10.0.0.1", 80)));
  EXPECT_FALSE(match("localhost!http", address("127.0.0.1", 8080)));
}

TEST(Address, HostsAsFilesNameThem) {
  const auto hosts = parse_hosts(
      "# none here\n127.0.0.1 localhost\t# x\n  10.1.2.3\tB.example  a\n"
      "nonsense name\n1.2.3.0/24 net\n::1\n fd00::5 six\r\n4.4.4.4 end");
  std::vector<std::string> found;
  for (const HostName& h : hosts) found.push_back(h.name + " " + h.address.text());
  EXPECT_EQ(found,
            (std::vector<std::string>{"localhost 127.0.0.1/32", "b.example 10.1.2.3/32",
                                      "a 10.1.2.3/32", "six fd00::5/128", "end 4.4.4.4/32"}));
}

TEST(Address, TextOfAnAddressCanBeRead) {
  for (const char* text : {"tcp!1.2.3.4!80", "udp!fd00::1!65535", "net!::!0"}) {
    const auto a = parse_inet_address(text);
    ASSERT_TRUE(a) << text;
    EXPECT_EQ(text_of(*a), text);
  }
  for (const char* bad : {"", "!", "tcp!", "tcp!1.2.3.4", "tcp!1.2.3.4!x", "x!1.2.3.4!1",
                          "tcp!1.2.3.4/8!1", "/run/x", "tcp!1.2.3.4!99999"}) {
    EXPECT_FALSE(parse_inet_address(bad)) << bad;
  }
}

TEST(Address, SocketsWithPathsAndNames) {
  EXPECT_EQ(parse_address("/run/*.sock")->unix_glob, "/run/*.sock");
  EXPECT_EQ(parse_address("unix!@dbus-*")->unix_glob, "@dbus-*");
  EXPECT_EQ(parse_address("unix!!unnamed")->unix_glob, "!unnamed");
}

TEST(Address, RefusesNonsense) {
  for (const char* bad : {"", "1.2.3.4", "1.2.3.4!", "1.2.3.4!x", "1.2.3.4/33!1", "1.2.3!1",
                          "host!80", "any!htt", "any!http-https", "tcp6!1.2.3.4!80", "any!9-1",
                          "any!65536", "name!!1", "unix!", "unix!x"}) {
    EXPECT_FALSE(parse_address(bad)) << bad;
  }
}

}  // namespace
}  // namespace usk::policy
