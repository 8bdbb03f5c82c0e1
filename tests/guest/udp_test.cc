// UDP between sockets of one host: datagrams, connected sockets, errors, control messages.
#include <sys/uio.h>
#include <time.h>

#include <linux/errqueue.h>

#include "tests/guest/inet.h"

namespace {

using namespace guest;
using namespace inet;

TEST(Udp, DatagramsKeepTheirBounds) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  EXPECT_EQ(send_to(from, "one", v4(port_of(to))), 3);
  EXPECT_EQ(send_to(from, "", v4(port_of(to))), 0);
  EXPECT_EQ(send_to(from, "three", v4(port_of(to))), 5);
  EXPECT_EQ(receive(to), "one");
  EXPECT_EQ(receive(to), "");
  EXPECT_EQ(receive(to), "three");
  EXPECT_EQ(receive(to, 10, MSG_DONTWAIT), "(" + describe_errno(EAGAIN) + ")");
}

TEST(Udp, TellsTheSender) {
  UniqueFd to = bound(), from = bound();
  ASSERT_EQ(send_to(from, "x", v4(port_of(to))), 1);
  char byte;
  sockaddr_storage who = {};
  socklen_t size = sizeof who;
  EXPECT_EQ(recvfrom(to.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&who), &size), 1);
  EXPECT_EQ(size, sizeof(sockaddr_in));
  EXPECT_EQ(text_of(who), name_of(from));
}

TEST(Udp, SendingBinds) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  EXPECT_EQ(name_of(from), "0.0.0.0 0");
  ASSERT_EQ(send_to(from, "x", v4(port_of(to))), 1);
  EXPECT_NE(port_of(from), 0);
  EXPECT_EQ(name_of(from).substr(0, 8), "0.0.0.0 ");
}

TEST(Udp, LongDatagramsAreCut) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  send_to(from, "abcdef", v4(port_of(to)));
  send_to(from, "ghijkl", v4(port_of(to)));
  EXPECT_EQ(receive(to, 3), "abc");
  char bytes[3];
  EXPECT_EQ(recv(to.get(), bytes, 3, MSG_TRUNC | MSG_PEEK), 6);
  iovec part = {bytes, 3};
  msghdr m = {};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  EXPECT_EQ(recvmsg(to.get(), &m, 0), 3);
  EXPECT_EQ(m.msg_flags, MSG_TRUNC);
}

TEST(Udp, ConnectedHearsOnlyItsPeer) {
  UniqueFd a = bound(), b = bound(), stranger = bound();
  ASSERT_OK(connect_to(a, v4(port_of(b))));
  EXPECT_EQ(peer_of(a), name_of(b));
  EXPECT_EQ(send_to(stranger, "no", v4(port_of(a))), 2);
  EXPECT_EQ(send_to(b, "yes", v4(port_of(a))), 3);
  EXPECT_EQ(receive(a), "yes");
  EXPECT_EQ(receive(a, 10, MSG_DONTWAIT), "(" + describe_errno(EAGAIN) + ")");
  say(a, "plain");
  EXPECT_EQ(receive(b), "plain");
  // Another destination may still be named.
  EXPECT_EQ(send_to(a, "other", v4(port_of(stranger))), 5);
  EXPECT_EQ(receive(stranger), "other");
}

TEST(Udp, ConnectingAgainAndNotAtAll) {
  UniqueFd a = new_socket(SOCK_DGRAM), b = bound(), c = bound();
  ASSERT_OK(connect_to(a, v4(port_of(b))));
  EXPECT_EQ(name_of(a).substr(0, 10), "127.0.0.1 ");
  ASSERT_OK(connect_to(a, v4(port_of(c))));
  say(a, "c");
  EXPECT_EQ(receive(c), "c");
  sockaddr_in none = {};
  none.sin_family = AF_UNSPEC;
  ASSERT_OK(connect_to(a, none));
  EXPECT_EQ(peer_of(a), describe_errno(ENOTCONN));
  EXPECT_ERR(send(a.get(), "x", 1, 0), EDESTADDRREQ);
}

TEST(Udp, NobodyThere) {
  UniqueFd gone = bound(), a = new_socket(SOCK_DGRAM);
  const uint16_t port = port_of(gone);
  gone.reset();
  // Who is not connected does not hear of it.
  EXPECT_EQ(send_to(a, "x", v4(port)), 1);
  EXPECT_EQ(send_to(a, "x", v4(port)), 1);
  ASSERT_OK(connect_to(a, v4(port)));
  EXPECT_EQ(send(a.get(), "x", 1, 0), 1);
  EXPECT_EQ(await(a, POLLERR) & POLLERR, POLLERR);
  EXPECT_EQ(receive(a), "(" + describe_errno(ECONNREFUSED) + ")");
  EXPECT_EQ(send(a.get(), "x", 1, 0), 1);
  await(a, POLLERR);
  EXPECT_ERR(send(a.get(), "x", 1, 0), ECONNREFUSED);
  EXPECT_EQ(send(a.get(), "x", 1, 0), 1);
  await(a, POLLERR);
  EXPECT_EQ(get_int(a, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
}

TEST(Udp, ErrorQueue) {
  UniqueFd gone = bound(), a = new_socket(SOCK_DGRAM);
  const uint16_t port = port_of(gone);
  gone.reset();
  ASSERT_OK(set_int(a, IPPROTO_IP, IP_RECVERR, 1));
  ASSERT_EQ(send_to(a, "lost", v4(port)), 4);
  EXPECT_EQ(await(a, POLLERR) & POLLERR, POLLERR);
  char bytes[16], control[256];
  sockaddr_in to = {};
  iovec part = {bytes, sizeof bytes};
  msghdr m = {};
  m.msg_name = &to;
  m.msg_namelen = sizeof to;
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  ASSERT_EQ(recvmsg(a.get(), &m, MSG_ERRQUEUE), 4);
  EXPECT_EQ(m.msg_flags, MSG_ERRQUEUE);
  EXPECT_EQ(ntohs(to.sin_port), port);
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  ASSERT_TRUE(c);
  EXPECT_EQ(c->cmsg_level, IPPROTO_IP);
  EXPECT_EQ(c->cmsg_type, IP_RECVERR);
  sock_extended_err e;
  memcpy(&e, CMSG_DATA(c), sizeof e);
  EXPECT_EQ(e.ee_errno, uint32_t(ECONNREFUSED));
  EXPECT_EQ(e.ee_origin, SO_EE_ORIGIN_ICMP);
  EXPECT_EQ(e.ee_type, 3);
  EXPECT_EQ(e.ee_code, 3);
  EXPECT_ERR(recvmsg(a.get(), &m, MSG_ERRQUEUE), EAGAIN);
}

TEST(Udp, FullQueueLosesWhatComes) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  ASSERT_OK(set_int(to, SOL_SOCKET, SO_RCVBUF, 8192));
  std::string bytes(1000, 'x');
  for (int i = 0; i < 200; ++i) EXPECT_EQ(send_to(from, bytes, v4(port_of(to))), 1000);
  int got = 0;
  while (recv(to.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) ++got;
  EXPECT_GE(got, 3);
  EXPECT_LT(got, 40);
  EXPECT_EQ(send_to(from, "again", v4(port_of(to))), 5);
  EXPECT_EQ(receive(to), "again");
}

TEST(Udp, TooLongOrNowhere) {
  UniqueFd s = new_socket(SOCK_DGRAM);
  std::string bytes(65508, 'x');
  EXPECT_ERR(send_to(s, bytes, v4(9)), EMSGSIZE);
  EXPECT_ERR(send_to(s, "x", v4(0)), EINVAL);
  EXPECT_ERR(send(s.get(), "x", 1, 0), EDESTADDRREQ);
  EXPECT_ERR(send(s.get(), "x", 1, MSG_OOB), EOPNOTSUPP);
  sockaddr_in a = v4(9);
  EXPECT_ERR(sendto(s.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&a), 8), EINVAL);
  a.sin_family = AF_INET6;
  EXPECT_ERR(send_to(s, "x", a), EAFNOSUPPORT);
  EXPECT_ERR(listen(s.get(), 1), EOPNOTSUPP);
  EXPECT_ERR(accept(s.get(), nullptr, nullptr), EOPNOTSUPP);
  EXPECT_ERR(shutdown(s.get(), SHUT_RD), ENOTCONN);
  UniqueFd to = bound();
  bytes.resize(65507);
  EXPECT_EQ(send_to(s, bytes, v4(port_of(to))), 65507);
  EXPECT_EQ(receive(to, 70000).size(), 65507u);
}

TEST(Udp, PortsInUse) {
  UniqueFd one = bound(), two = new_socket(SOCK_DGRAM);
  EXPECT_ERR(bind_to(two, v4(port_of(one))), EADDRINUSE);
  EXPECT_ERR(bind_to(two, v4(port_of(one), "0.0.0.0")), EADDRINUSE);
  EXPECT_ERR(bind_to(one, v4(0)), EINVAL);
  ASSERT_OK(set_int(one, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(set_int(two, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(bind_to(two, v4(port_of(one))));
  // The one that came last gets it.
  UniqueFd from = new_socket(SOCK_DGRAM);
  send_to(from, "x", v4(port_of(one)));
  EXPECT_EQ(receive(two), "x");
}

TEST(Udp, SocketsThatShareAPort) {
  UniqueFd one = new_socket(SOCK_DGRAM), two = new_socket(SOCK_DGRAM);
  ASSERT_OK(set_int(one, SOL_SOCKET, SO_REUSEPORT, 1));
  ASSERT_OK(set_int(two, SOL_SOCKET, SO_REUSEPORT, 1));
  ASSERT_OK(bind_to(one, v4(0)));
  ASSERT_OK(bind_to(two, v4(port_of(one))));
  for (int i = 0; i < 64; ++i) {
    UniqueFd from = bound();
    ASSERT_EQ(send_to(from, "x", v4(port_of(one))), 1);
  }
  int of_one = 0, of_two = 0;
  char byte;
  while (recv(one.get(), &byte, 1, MSG_DONTWAIT) == 1) ++of_one;
  while (recv(two.get(), &byte, 1, MSG_DONTWAIT) == 1) ++of_two;
  EXPECT_EQ(of_one + of_two, 64);
  EXPECT_GT(of_one, 5);
  EXPECT_GT(of_two, 5);
}

TEST(Udp, TheClosestAddressHearsIt) {
  UniqueFd any = new_socket(SOCK_DGRAM), near = new_socket(SOCK_DGRAM);
  ASSERT_OK(set_int(any, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(set_int(near, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(bind_to(near, v4(0, "127.0.0.7")));
  ASSERT_OK(bind_to(any, v4(port_of(near), "0.0.0.0")));
  UniqueFd from = new_socket(SOCK_DGRAM);
  send_to(from, "near", v4(port_of(near), "127.0.0.7"));
  send_to(from, "any", v4(port_of(near), "127.0.0.8"));
  EXPECT_EQ(receive(near), "near");
  EXPECT_EQ(receive(any), "any");
}

TEST(Udp, BlockedReceiveIsWoken) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  Thread t([&] { EXPECT_EQ(receive(to), "wake"); });
  wait_until_blocked(t.tid());
  send_to(from, "wake", v4(port_of(to)));
}

TEST(Udp, ShutdownEndsReads) {
  UniqueFd a = bound(), b = bound();
  ASSERT_OK(connect_to(a, v4(port_of(b))));
  Thread t([&] { EXPECT_EQ(receive(a), ""); });
  wait_until_blocked(t.tid());
  ASSERT_OK(shutdown(a.get(), SHUT_RDWR));
  t.join();
  EXPECT_EQ(events(a), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
  // Without a signal.
  EXPECT_ERR(send(a.get(), "x", 1, 0), EPIPE);
  EXPECT_ERR(write(a.get(), "x", 1), EPIPE);
}

TEST(Udp, ControlMessagesTellOfThePacket) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  for (int name : {IP_PKTINFO, IP_RECVTTL, IP_RECVTOS}) {
    ASSERT_OK(set_int(to, IPPROTO_IP, name, 1));
  }
  ASSERT_OK(set_int(to, SOL_SOCKET, SO_TIMESTAMP, 1));
  ASSERT_OK(set_int(from, IPPROTO_IP, IP_TTL, 7));
  ASSERT_OK(set_int(from, IPPROTO_IP, IP_TOS, 0x10));
  ASSERT_EQ(send_to(from, "x", v4(port_of(to))), 1);
  char byte, control[256];
  iovec part = {&byte, 1};
  msghdr m = {};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  ASSERT_EQ(recvmsg(to.get(), &m, 0), 1);
  std::string seen;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    seen += std::to_string(c->cmsg_level) + "/" + std::to_string(c->cmsg_type) + " ";
    int value = 0;
    memcpy(&value, CMSG_DATA(c), std::min<size_t>(sizeof value, c->cmsg_len - CMSG_LEN(0)));
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) EXPECT_EQ(value, 7);
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) EXPECT_EQ(value, 0x10);
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      EXPECT_EQ(info.ipi_ifindex, 1);
      EXPECT_EQ(info.ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
    }
  }
  EXPECT_EQ(seen, "1/29 0/8 0/2 0/1 ");
}

TEST(Udp, ControlMessagesOfASender) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in_pktinfo))] = {};
  char byte = 'x';
  iovec part = {&byte, 1};
  sockaddr_in where = v4(port_of(to));
  msghdr m = {};
  m.msg_name = &where;
  m.msg_namelen = sizeof where;
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = IPPROTO_IP;
  c->cmsg_type = IP_PKTINFO;
  c->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
  in_pktinfo info = {};
  inet_pton(AF_INET, "127.0.0.9", &info.ipi_spec_dst);
  memcpy(CMSG_DATA(c), &info, sizeof info);
  ASSERT_EQ(sendmsg(from.get(), &m, 0), 1);
  sockaddr_storage who = {};
  socklen_t size = sizeof who;
  ASSERT_EQ(recvfrom(to.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&who), &size), 1);
  EXPECT_EQ(text_of(who).substr(0, 10), "127.0.0.9 ");
  c->cmsg_type = 99;
  EXPECT_ERR(sendmsg(from.get(), &m, 0), EINVAL);
}

TEST(Udp, ManyMessagesInOneCall) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  ASSERT_OK(connect_to(from, v4(port_of(to))));
  char bytes[3][4] = {"ab", "cde", "f"};
  iovec parts[3] = {{bytes[0], 2}, {bytes[1], 3}, {bytes[2], 1}};
  mmsghdr m[3] = {};
  for (int i = 0; i < 3; ++i) m[i].msg_hdr.msg_iov = &parts[i], m[i].msg_hdr.msg_iovlen = 1;
  EXPECT_EQ(sendmmsg(from.get(), m, 3, 0), 3);
  EXPECT_EQ(m[1].msg_len, 3u);
  for (auto& part : parts) part.iov_len = 4;
  EXPECT_EQ(recvmmsg(to.get(), m, 3, MSG_WAITFORONE, nullptr), 3);
  EXPECT_EQ(m[0].msg_len, 2u);
  EXPECT_EQ(m[2].msg_len, 1u);
}

TEST(Udp, PartsOfADatagramAreHeldBack) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  ASSERT_OK(connect_to(from, v4(port_of(to))));
  say(from, "one ", MSG_MORE);
  EXPECT_EQ(receive(to, 10, MSG_DONTWAIT), "(" + describe_errno(EAGAIN) + ")");
  say(from, "datagram");
  EXPECT_EQ(receive(to), "one datagram");
  ASSERT_OK(set_int(from, IPPROTO_UDP, 1 /* UDP_CORK */, 1));
  say(from, "a");
  say(from, "b");
  EXPECT_EQ(receive(to, 10, MSG_DONTWAIT), "(" + describe_errno(EAGAIN) + ")");
  ASSERT_OK(set_int(from, IPPROTO_UDP, 1, 0));
  EXPECT_EQ(receive(to), "ab");
  std::string much(40000, 'x');
  say(from, much, MSG_MORE);
  EXPECT_ERR(send(from.get(), much.data(), much.size(), 0), EMSGSIZE);
}

TEST(Udp, FirstDatagramIsCounted) {
  UniqueFd to = bound(), from = new_socket(SOCK_DGRAM);
  send_to(from, "four", v4(port_of(to)));
  send_to(from, "more", v4(port_of(to)));
  await(to, POLLIN);
  int n = 0;
  ASSERT_OK(ioctl(to.get(), FIONREAD, &n));
  EXPECT_EQ(n, 4);
}

}  // namespace
