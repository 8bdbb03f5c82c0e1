// IPv6 on the loopback device: addresses, sockets for both families.
#include "tests/guest/inet.h"

namespace {

using namespace guest;
using namespace inet;

TEST(Inet6, StreamOnTheLoopbackAddress) {
  Connection c(AF_INET6);
  EXPECT_EQ(name_of(c.client).substr(0, 4), "::1 ");
  EXPECT_EQ(name_of(c.peer), peer_of(c.client));
  say(c.client, "six");
  EXPECT_EQ(receive(c.peer), "six");
}

TEST(Inet6, WildcardServesBothFamilies) {
  UniqueFd server = new_socket(SOCK_STREAM, AF_INET6);
  ASSERT_OK(bind_to(server, v6(0, "::")));
  ASSERT_OK(listen(server.get(), 5));
  UniqueFd four = new_socket(), six = new_socket(SOCK_STREAM, AF_INET6);
  ASSERT_OK(connect_to(four, v4(port_of(server))));
  UniqueFd peer = accepted(server);
  EXPECT_EQ(name_of(peer).substr(0, 17), "::ffff:127.0.0.1 ");
  EXPECT_EQ(peer_of(peer).substr(0, 17), "::ffff:127.0.0.1 ");
  ASSERT_OK(connect_to(six, v6(port_of(server))));
  peer = accepted(server);
  EXPECT_EQ(name_of(peer).substr(0, 4), "::1 ");
}

TEST(Inet6, OnlySixDoesNotServeFour) {
  UniqueFd server = new_socket(SOCK_STREAM, AF_INET6);
  ASSERT_OK(set_int(server, IPPROTO_IPV6, IPV6_V6ONLY, 1));
  ASSERT_OK(bind_to(server, v6(0, "::")));
  EXPECT_ERR(set_int(server, IPPROTO_IPV6, IPV6_V6ONLY, 0), EINVAL);
  ASSERT_OK(listen(server.get(), 5));
  UniqueFd four = new_socket();
  EXPECT_ERR(connect_to(four, v4(port_of(server))), ECONNREFUSED);
  UniqueFd other = new_socket();
  EXPECT_OK(bind_to(other, v4(port_of(server), "0.0.0.0")));
}

TEST(Inet6, WildcardsOfBothFamiliesConflict) {
  UniqueFd six = new_socket(SOCK_STREAM, AF_INET6), four = new_socket();
  ASSERT_OK(bind_to(six, v6(0, "::")));
  EXPECT_ERR(bind_to(four, v4(port_of(six), "0.0.0.0")), EADDRINUSE);
  EXPECT_ERR(bind_to(four, v4(port_of(six))), EADDRINUSE);
  UniqueFd alone = new_socket(SOCK_STREAM, AF_INET6);
  ASSERT_OK(bind_to(alone, v6(0)));
  EXPECT_OK(bind_to(four, v4(port_of(alone))));
}

TEST(Inet6, MappedAddresses) {
  UniqueFd server = listener(), client = new_socket(SOCK_STREAM, AF_INET6);
  ASSERT_OK(connect_to(client, v6(port_of(server), "::ffff:127.0.0.1")));
  UniqueFd peer = accepted(server);
  EXPECT_EQ(peer_of(client).substr(0, 17), "::ffff:127.0.0.1 ");
  EXPECT_EQ(peer_of(peer).substr(0, 10), "127.0.0.1 ");
  UniqueFd only = new_socket(SOCK_STREAM, AF_INET6);
  ASSERT_OK(set_int(only, IPPROTO_IPV6, IPV6_V6ONLY, 1));
  EXPECT_ERR(connect_to(only, v6(port_of(server), "::ffff:127.0.0.1")), ENETUNREACH);
  EXPECT_ERR(bind_to(only, v6(0, "::ffff:127.0.0.1")), EINVAL);
}

TEST(Inet6, AddressesThatAreNone) {
  UniqueFd s = new_socket(SOCK_STREAM, AF_INET6);
  sockaddr_in6 a = v6(0);
  EXPECT_ERR(bind(s.get(), reinterpret_cast<sockaddr*>(&a), 16), EINVAL);
  EXPECT_ERR(connect(s.get(), reinterpret_cast<sockaddr*>(&a), 23), EINVAL);
  EXPECT_ERR(bind_to(s, v6(0, "2001:db8::7")), EADDRNOTAVAIL);
  a.sin6_family = AF_INET;
  EXPECT_ERR(bind_to(s, a), EAFNOSUPPORT);
  EXPECT_ERR(connect_to(s, a), EAFNOSUPPORT);
  // The scope may be missing.
  a = v6(0);
  EXPECT_OK(bind(s.get(), reinterpret_cast<sockaddr*>(&a), 24));
}

TEST(Inet6, Datagrams) {
  UniqueFd to = bound(SOCK_DGRAM, AF_INET6), from = new_socket(SOCK_DGRAM, AF_INET6);
  EXPECT_EQ(send_to(from, "six", v6(port_of(to))), 3);
  char bytes[8];
  sockaddr_storage who = {};
  socklen_t size = sizeof who;
  EXPECT_EQ(recvfrom(to.get(), bytes, 8, 0, reinterpret_cast<sockaddr*>(&who), &size), 3);
  EXPECT_EQ(size, sizeof(sockaddr_in6));
  EXPECT_EQ(text_of(who).substr(0, 4), "::1 ");
}

TEST(Inet6, DatagramsToBothFamilies) {
  UniqueFd both = new_socket(SOCK_DGRAM, AF_INET6), four = bound();
  ASSERT_OK(bind_to(both, v6(0, "::")));
  EXPECT_EQ(send_to(four, "4", v4(port_of(both))), 1);
  char byte;
  sockaddr_storage who = {};
  socklen_t size = sizeof who;
  EXPECT_EQ(recvfrom(both.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&who), &size), 1);
  EXPECT_EQ(text_of(who), "::ffff:" + name_of(four));
  // Plain addresses of IPv4 are taken, too.
  EXPECT_EQ(send_to(both, "back", v4(port_of(four))), 4);
  EXPECT_EQ(receive(four), "back");
}

TEST(Inet6, PacketInformation) {
  UniqueFd to = bound(SOCK_DGRAM, AF_INET6), from = new_socket(SOCK_DGRAM, AF_INET6);
  ASSERT_OK(set_int(to, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1));
  ASSERT_OK(set_int(to, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1));
  ASSERT_OK(set_int(to, IPPROTO_IPV6, IPV6_RECVTCLASS, 1));
  ASSERT_OK(set_int(from, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9));
  ASSERT_EQ(send_to(from, "x", v6(port_of(to))), 1);
  char byte, control[256];
  iovec part = {&byte, 1};
  msghdr m = {};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  ASSERT_EQ(recvmsg(to.get(), &m, 0), 1);
  int info = 0, hops = 0, tclass = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    ASSERT_EQ(c->cmsg_level, IPPROTO_IPV6);
    if (c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo i;
      memcpy(&i, CMSG_DATA(c), sizeof i);
      EXPECT_EQ(i.ipi6_ifindex, 1u);
      EXPECT_TRUE(IN6_IS_ADDR_LOOPBACK(&i.ipi6_addr));
      ++info;
    }
    if (c->cmsg_type == IPV6_HOPLIMIT) memcpy(&hops, CMSG_DATA(c), sizeof hops);
    if (c->cmsg_type == IPV6_TCLASS) ++tclass;
  }
  EXPECT_EQ(info, 1);
  EXPECT_EQ(hops, 9);
  EXPECT_EQ(tclass, 1);
}

TEST(Inet6, NobodyThere) {
  UniqueFd gone = bound(SOCK_DGRAM, AF_INET6), a = new_socket(SOCK_DGRAM, AF_INET6);
  const uint16_t port = port_of(gone);
  gone.reset();
  ASSERT_OK(connect_to(a, v6(port)));
  EXPECT_EQ(send(a.get(), "x", 1, 0), 1);
  await(a, POLLERR);
  EXPECT_EQ(receive(a), "(" + describe_errno(ECONNREFUSED) + ")");
}

}  // namespace
