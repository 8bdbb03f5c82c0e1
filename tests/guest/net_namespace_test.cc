// Network namespaces: network_namespaces(7).
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>

#include "tests/guest/inet.h"

namespace {

using namespace guest;
using namespace inet;

void bring_up(bool up) {
  UniqueFd s = new_socket(SOCK_DGRAM);
  ifreq r = {};
  strcpy(r.ifr_name, "lo");
  ASSERT_OK(ioctl(s.get(), SIOCGIFFLAGS, &r));
  EXPECT_EQ(r.ifr_flags & IFF_UP, up ? 0 : IFF_UP);
  r.ifr_flags = short(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
  ASSERT_OK(ioctl(s.get(), SIOCSIFFLAGS, &r));
}

void enter_new() {
  if (unshare(CLONE_NEWNET) != 0) {
    ASSERT_EQ(errno, EPERM);
    SKIP("needs CAP_SYS_ADMIN");
  }
}

TEST(NetNamespace, ItsDeviceIsDownAtFirst) {
  enter_new();
  UniqueFd s = new_socket();
  EXPECT_ERR(connect_to(s, v4(80)), ENETUNREACH);
  EXPECT_OK(bind_to(s, v4(0, "0.0.0.0")));
  UniqueFd u = new_socket(SOCK_DGRAM);
  EXPECT_ERR(send_to(u, "x", v4(80)), ENETUNREACH);
  UniqueFd six = new_socket(SOCK_STREAM, AF_INET6);
  EXPECT_ERR(bind_to(six, v6(0)), EADDRNOTAVAIL);
}

TEST(NetNamespace, BroughtUpItWorks) {
  enter_new();
  bring_up(true);
  Connection c;
  say(c.client, "here");
  EXPECT_EQ(receive(c.peer), "here");
  UniqueFd elsewhere = new_socket();
  EXPECT_ERR(connect_to(elsewhere, v4(80, "198.51.100.7")), ENETUNREACH);
  bring_up(false);
}

TEST(NetNamespace, SixIsUpWithIt) {
  enter_new();
  bring_up(true);
  Connection c(AF_INET6);
  say(c.client, "here");
  EXPECT_EQ(receive(c.peer), "here");
}

TEST(NetNamespace, PortsAreItsOwn) {
  UniqueFd outside = listener();
  const uint16_t port = port_of(outside);
  enter_new();
  bring_up(true);
  UniqueFd s = new_socket();
  EXPECT_ERR(connect_to(s, v4(port)), ECONNREFUSED);
  UniqueFd inside = new_socket();
  EXPECT_OK(bind_to(inside, v4(port)));
  // A socket stays in the namespace that it was made in.
  UniqueFd other = new_socket();
  EXPECT_EQ(port_of(outside), port);
}

TEST(NetNamespace, SocketsStayWhereTheyWereMade) {
  UniqueFd server = listener(), client = new_socket();
  enter_new();
  EXPECT_OK(connect_to(client, v4(port_of(server))));
  UniqueFd peer = accepted(server);
  say(client, "through");
  EXPECT_EQ(receive(peer), "through");
}

TEST(NetNamespace, ItsOwnerMayUseLowPorts) {
  const bool user = unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
  if (!user) SKIP("user namespaces are not to be had");
  bring_up(true);
  UniqueFd s = new_socket();
  EXPECT_OK(bind_to(s, v4(80)));
  EXPECT_OK(listen(s.get(), 1));
}

TEST(NetNamespace, RightsElsewhereDoNotCount) {
  UniqueFd before = new_socket();
  if (!has_capability(CAP_NET_ADMIN)) SKIP("needs CAP_NET_ADMIN");
  const bool user = unshare(CLONE_NEWUSER) == 0;
  if (!user) SKIP("user namespaces are not to be had");
  UniqueFd s = new_socket();
  EXPECT_ERR(bind_to(s, v4(82)), EACCES);
}

}  // namespace
