// What TCP sockets refuse: states, addresses, ports, hostile values.
#include <linux/capability.h>
#include <sys/resource.h>

#include "tests/guest/inet.h"

namespace {

using namespace guest;
using namespace inet;

TEST(TcpErrors, NobodyListens) {
  UniqueFd s = bound(SOCK_STREAM), client = new_socket();
  EXPECT_ERR(connect_to(client, v4(port_of(s))), ECONNREFUSED);
  // It may try again.
  ASSERT_OK(listen(s.get(), 1));
  EXPECT_OK(connect_to(client, v4(port_of(s))));
}

TEST(TcpErrors, NonblockingConnectTellsLater) {
  UniqueFd server = listener(), client = new_socket();
  set_nonblocking(client);
  EXPECT_ERR(connect_to(client, v4(port_of(server))), EINPROGRESS);
  EXPECT_EQ(await(client, POLLOUT), POLLOUT);
  EXPECT_EQ(get_int(client, SOL_SOCKET, SO_ERROR), 0);
  EXPECT_OK(connect_to(client, v4(port_of(server))));
  EXPECT_ERR(connect_to(client, v4(port_of(server))), EISCONN);
}

TEST(TcpErrors, NonblockingConnectToNobody) {
  UniqueFd s = bound(SOCK_STREAM), client = new_socket();
  set_nonblocking(client);
  EXPECT_ERR(connect_to(client, v4(port_of(s))), EINPROGRESS);
  await(client, POLLOUT);
  EXPECT_EQ(events(client), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
  EXPECT_EQ(get_int(client, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  EXPECT_ERR(connect_to(client, v4(port_of(s))), ECONNABORTED);
}

TEST(TcpErrors, NonblockingConnectToNobodyAskedAgain) {
  UniqueFd s = bound(SOCK_STREAM), client = new_socket();
  set_nonblocking(client);
  EXPECT_ERR(connect_to(client, v4(port_of(s))), EINPROGRESS);
  await(client, POLLOUT);
  EXPECT_ERR(connect_to(client, v4(port_of(s))), ECONNREFUSED);
}

TEST(TcpErrors, FreshSocket) {
  UniqueFd s = new_socket();
  char byte;
  EXPECT_EQ(events(s), POLLOUT | POLLHUP);
  EXPECT_ERR(recv(s.get(), &byte, 1, 0), ENOTCONN);
  EXPECT_ERR(send(s.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_ERR(shutdown(s.get(), SHUT_WR), ENOTCONN);
  EXPECT_ERR(shutdown(s.get(), 3), EINVAL);
  EXPECT_ERR(accept(s.get(), nullptr, nullptr), EINVAL);
  EXPECT_EQ(name_of(s), "0.0.0.0 0");
  EXPECT_EQ(peer_of(s), describe_errno(ENOTCONN));
  EXPECT_EQ(get_int(s, SOL_SOCKET, SO_ACCEPTCONN), 0);
}

TEST(TcpErrors, ConnectedOrListeningAlready) {
  Connection c;
  EXPECT_ERR(connect_to(c.client, v4(port_of(c.server))), EISCONN);
  EXPECT_ERR(connect_to(c.server, v4(port_of(c.server))), EISCONN);
  EXPECT_ERR(listen(c.client.get(), 1), EINVAL);
  EXPECT_ERR(bind_to(c.client, v4(0)), EINVAL);
  EXPECT_OK(listen(c.server.get(), 7));
  EXPECT_EQ(get_int(c.server, SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_EQ(events(c.server), 0);
  EXPECT_ERR(send(c.server.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(TcpErrors, AddressInUse) {
  UniqueFd one = listener(), two = new_socket();
  EXPECT_ERR(bind_to(two, v4(port_of(one))), EADDRINUSE);
  EXPECT_ERR(bind_to(two, v4(port_of(one), "0.0.0.0")), EADDRINUSE);
  EXPECT_OK(bind_to(two, v4(port_of(one), "127.0.0.2")));
}

TEST(TcpErrors, ReuseLetsTwoBindButOneListen) {
  UniqueFd one = new_socket(), two = new_socket();
  ASSERT_OK(set_int(one, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(set_int(two, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(bind_to(one, v4(0)));
  ASSERT_OK(bind_to(two, v4(port_of(one))));
  ASSERT_OK(listen(one.get(), 1));
  EXPECT_ERR(listen(two.get(), 1), EADDRINUSE);
  UniqueFd three = new_socket();
  ASSERT_OK(set_int(three, SOL_SOCKET, SO_REUSEADDR, 1));
  EXPECT_ERR(bind_to(three, v4(port_of(one))), EADDRINUSE);
}

TEST(TcpErrors, PortOfAConnectionStaysAfterTheListener) {
  Connection c;
  const uint16_t port = port_of(c.server);
  c.server.reset();
  UniqueFd again = new_socket();
  EXPECT_ERR(bind_to(again, v4(port)), EADDRINUSE);
  // The connection had its listener's SO_REUSEADDR, which was off.
  ASSERT_OK(set_int(again, SOL_SOCKET, SO_REUSEADDR, 1));
  EXPECT_ERR(bind_to(again, v4(port)), EADDRINUSE);
}

TEST(TcpErrors, WhoClosesFirstWaits) {
  UniqueFd server = new_socket();
  ASSERT_OK(set_int(server, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(bind_to(server, v4(0)));
  ASSERT_OK(listen(server.get(), 1));
  const uint16_t port = port_of(server);
  {
    UniqueFd client = new_socket();
    ASSERT_OK(connect_to(client, v4(port)));
    UniqueFd peer = accepted(server);
    peer.reset();
    EXPECT_EQ(receive(client), "");
  }
  server.reset();
  sleep_ms(20);
  UniqueFd again = new_socket();
  EXPECT_ERR(bind_to(again, v4(port)), EADDRINUSE);
  ASSERT_OK(set_int(again, SOL_SOCKET, SO_REUSEADDR, 1));
  EXPECT_OK(bind_to(again, v4(port)));
  EXPECT_OK(listen(again.get(), 1));
}

TEST(TcpErrors, ResetLeavesNoWaiting) {
  const linger none = {1, 0};
  UniqueFd server = listener();
  const uint16_t port = port_of(server);
  {
    UniqueFd client = new_socket();
    ASSERT_OK(connect_to(client, v4(port)));
    UniqueFd peer = accepted(server);
    ASSERT_OK(setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none));
    peer.reset();
    await(client, POLLERR);
  }
  server.reset();
  UniqueFd again = new_socket();
  EXPECT_OK(bind_to(again, v4(port)));
}

TEST(TcpErrors, AddressesThatAreNotHere) {
  UniqueFd s = new_socket();
  EXPECT_ERR(bind_to(s, v4(0, "198.51.100.7")), EADDRNOTAVAIL);
  EXPECT_ERR(connect_to(s, v4(80, "224.0.0.1")), ENETUNREACH);
}

TEST(TcpErrors, AddressesThatAreNone) {
  UniqueFd s = new_socket();
  sockaddr_in a = v4(0);
  EXPECT_ERR(bind(s.get(), reinterpret_cast<sockaddr*>(&a), 15), EINVAL);
  EXPECT_ERR(bind(s.get(), reinterpret_cast<sockaddr*>(&a), 129), EINVAL);
  EXPECT_ERR(bind(s.get(), reinterpret_cast<sockaddr*>(8), sizeof a), EFAULT);
  EXPECT_ERR(connect(s.get(), reinterpret_cast<sockaddr*>(&a), 1), EINVAL);
  EXPECT_ERR(connect(s.get(), reinterpret_cast<sockaddr*>(&a), 8), EINVAL);
  a.sin_family = AF_INET6;
  EXPECT_ERR(bind_to(s, a), EAFNOSUPPORT);
  EXPECT_ERR(connect_to(s, a), EAFNOSUPPORT);
  a = v4(0, "0.0.0.0");
  a.sin_family = AF_UNSPEC;
  EXPECT_OK(bind_to(s, a));
  a = v4(0);
  EXPECT_ERR(bind_to(s, a), EINVAL);
}

TEST(TcpErrors, LowPortsAreForThePrivileged) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  UniqueFd s = new_socket();
                  EXPECT_ERR(bind_to(s, v4(81)), EACCES);
                }),
                0);
}

TEST(TcpErrors, KindsOfSockets) {
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  EXPECT_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
  EXPECT_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
  EXPECT_ERR(socket(AF_INET, SOCK_STREAM, 100000), EINVAL);
  EXPECT_ERR(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
  EXPECT_ERR(socket(AF_INET, 15, 0), EINVAL);
  int fds[2];
  EXPECT_ERR(socketpair(AF_INET, SOCK_STREAM, 0, fds), EOPNOTSUPP);
  EXPECT_ERR(socketpair(AF_INET, SOCK_SEQPACKET, 0, fds), ESOCKTNOSUPPORT);
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
                }),
                0);
}

TEST(TcpErrors, ConnectionOfUnspecifiedFamilyDisconnects) {
  Connection c;
  sockaddr_in none = {};
  none.sin_family = AF_UNSPEC;
  ASSERT_OK(connect_to(c.client, none));
  EXPECT_EQ(peer_of(c.client), describe_errno(ENOTCONN));
  await(c.peer, POLLERR);
  EXPECT_EQ(receive(c.peer), "(" + describe_errno(ECONNRESET) + ")");
  EXPECT_OK(connect_to(c.client, v4(port_of(c.server))));
}

TEST(TcpErrors, ShutdownOfAListener) {
  UniqueFd server = listener();
  ASSERT_OK(shutdown(server.get(), SHUT_RD));
  EXPECT_ERR(accept(server.get(), nullptr, nullptr), EINVAL);
  UniqueFd client = new_socket();
  EXPECT_ERR(connect_to(client, v4(port_of(server))), ECONNREFUSED);
}

TEST(TcpErrors, ShutdownWakesWhoAccepts) {
  UniqueFd server = listener();
  Thread t([&] { EXPECT_ERR(accept(server.get(), nullptr, nullptr), EINVAL); });
  wait_until_blocked(t.tid());
  ASSERT_OK(shutdown(server.get(), SHUT_RD));
}

TEST(TcpErrors, StrangeBacklogsAndPorts) {
  UniqueFd server = bound(SOCK_STREAM), client = new_socket(), none = new_socket();
  ASSERT_OK(listen(server.get(), -1));
  ASSERT_OK(listen(server.get(), 0x7fffffff));
  EXPECT_OK(connect_to(client, v4(port_of(server))));
  EXPECT_ERR(connect_to(none, v4(0)), ECONNREFUSED);
}

TEST(TcpErrors, BindingFailsAndLeavesTheSocketAsItWas) {
  UniqueFd taken = listener(), s = new_socket();
  EXPECT_ERR(bind_to(s, v4(port_of(taken))), EADDRINUSE);
  EXPECT_EQ(name_of(s), "0.0.0.0 0");
  EXPECT_OK(bind_to(s, v4(0)));
  UniqueFd gone = bound(SOCK_STREAM);
  // Whoever was bound keeps the port when connecting fails.
  const uint16_t port = port_of(s);
  EXPECT_ERR(connect_to(s, v4(port_of(gone))), ECONNREFUSED);
  EXPECT_EQ(port_of(s), port);
  EXPECT_OK(connect_to(s, v4(port_of(taken))));
}

TEST(TcpErrors, OneConnectionOfEachName) {
  UniqueFd server = listener(), one = new_socket(), two = new_socket();
  ASSERT_OK(set_int(one, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(set_int(two, SOL_SOCKET, SO_REUSEADDR, 1));
  ASSERT_OK(bind_to(one, v4(0)));
  ASSERT_OK(bind_to(two, v4(port_of(one))));
  EXPECT_OK(connect_to(one, v4(port_of(server))));
  EXPECT_ERR(connect_to(two, v4(port_of(server))), EADDRNOTAVAIL);
}

TEST(TcpErrors, ThousandsOfConnections) {
  UniqueFd server = listener(AF_INET, 4096);
  const sockaddr_in where = v4(port_of(server));
  for (int round = 0; round < rounds(1000); ++round) {
    UniqueFd client = new_socket();
    ASSERT_OK(connect_to(client, where));
    if (round % 2) continue;  // Left for the listener's end.
    UniqueFd peer = accepted(server);
    say(client, "x");
  }
}

TEST(TcpErrors, NoDescriptorLosesNoConnection) {
  UniqueFd server = listener(), client = new_socket();
  ASSERT_OK(connect_to(client, v4(port_of(server))));
  say(client, "kept");
  rlimit before;
  ASSERT_OK(getrlimit(RLIMIT_NOFILE, &before));
  const rlimit full = {rlim_t(client.get() + 1), before.rlim_max};
  ASSERT_OK(setrlimit(RLIMIT_NOFILE, &full));
  EXPECT_ERR(accept(server.get(), nullptr, nullptr), EMFILE);
  ASSERT_OK(setrlimit(RLIMIT_NOFILE, &before));
  UniqueFd peer = accepted(server);
  EXPECT_EQ(receive(peer), "kept");
}

TEST(TcpErrors, WrongBuffers) {
  Connection c;
  say(c.client, "data");
  await(c.peer, POLLIN);
  EXPECT_ERR(recv(c.peer.get(), reinterpret_cast<void*>(8), 4, 0), EFAULT);
  EXPECT_EQ(receive(c.peer), "data");
  EXPECT_ERR(send(c.client.get(), reinterpret_cast<void*>(8), 4, 0), EFAULT);
  char byte;
  EXPECT_ERR(recv(c.client.get(), &byte, 1, MSG_OOB), EINVAL);
  EXPECT_ERR(recv(c.client.get(), &byte, 1, MSG_ERRQUEUE), EAGAIN);
  EXPECT_ERR(accept4(c.server.get(), nullptr, nullptr, 4), EINVAL);
}

}  // namespace
