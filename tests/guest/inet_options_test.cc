// Socket options of IPv4, IPv6, TCP and UDP, and what is asked of the loopback device.
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>

#include "tests/guest/inet.h"

namespace {

using namespace guest;
using namespace inet;

TEST(InetOptions, WhatASocketIs) {
  UniqueFd tcp = new_socket(), udp = new_socket(SOCK_DGRAM, AF_INET6);
  EXPECT_EQ(get_int(tcp, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(get_int(tcp, SOL_SOCKET, SO_DOMAIN), AF_INET);
  EXPECT_EQ(get_int(tcp, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  EXPECT_EQ(get_int(udp, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
  EXPECT_EQ(get_int(udp, SOL_SOCKET, SO_DOMAIN), AF_INET6);
  EXPECT_EQ(get_int(udp, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
  EXPECT_ERR(set_int(tcp, SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT);
}

TEST(InetOptions, KeptNumbersOfTcp) {
  UniqueFd s = new_socket();
  struct {
    int name, initial, value;
  } options[] = {{TCP_NODELAY, 0, 1},      {TCP_CORK, 0, 1},     {TCP_KEEPIDLE, 7200, 60},
                 {TCP_KEEPINTVL, 75, 10},  {TCP_KEEPCNT, 9, 3},  {TCP_SYNCNT, 6, 2},
                 {TCP_USER_TIMEOUT, 0, 9}, {TCP_QUICKACK, 1, 0}, {TCP_NOTSENT_LOWAT, 0, 16384}};
  for (auto& o : options) {
    EXPECT_EQ(get_int(s, IPPROTO_TCP, o.name), o.initial);
    EXPECT_OK(set_int(s, IPPROTO_TCP, o.name, o.value));
    EXPECT_EQ(get_int(s, IPPROTO_TCP, o.name), o.value);
  }
  EXPECT_ERR(set_int(s, IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL);
  EXPECT_ERR(set_int(s, IPPROTO_TCP, TCP_KEEPIDLE, 32768), EINVAL);
  EXPECT_ERR(set_int(s, IPPROTO_TCP, TCP_KEEPCNT, 128), EINVAL);
  EXPECT_ERR(set_int(s, IPPROTO_TCP, TCP_USER_TIMEOUT, -1), EINVAL);
  EXPECT_ERR(set_int(s, IPPROTO_TCP, TCP_MAXSEG, 87), EINVAL);
  EXPECT_ERR(set_int(s, IPPROTO_TCP, 4711, 1), ENOPROTOOPT);
  EXPECT_EQ(get_int(s, IPPROTO_TCP, 4711), -ENOPROTOOPT);
  char byte = 1;
  EXPECT_ERR(setsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, &byte, 1), EINVAL);
  UniqueFd udp = new_socket(SOCK_DGRAM);
  EXPECT_ERR(set_int(udp, IPPROTO_TCP, TCP_NODELAY, 1), ENOPROTOOPT);
}

TEST(InetOptions, AcceptedOnesHaveTheListeners) {
  UniqueFd server = new_socket(), client = new_socket();
  ASSERT_OK(set_int(server, IPPROTO_TCP, TCP_NODELAY, 1));
  ASSERT_OK(set_int(server, SOL_SOCKET, SO_KEEPALIVE, 1));
  ASSERT_OK(bind_to(server, v4(0)));
  ASSERT_OK(listen(server.get(), 1));
  ASSERT_OK(connect_to(client, v4(port_of(server))));
  UniqueFd peer = accepted(server);
  EXPECT_EQ(get_int(peer, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(get_int(peer, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(fcntl(peer.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(InetOptions, InformationOfAConnection) {
  Connection c;
  say(c.client, "12345");
  EXPECT_EQ(receive(c.peer), "12345");
  tcp_info i = {};
  socklen_t size = sizeof i;
  ASSERT_OK(getsockopt(c.client.get(), IPPROTO_TCP, TCP_INFO, &i, &size));
  EXPECT_EQ(size, sizeof i);
  EXPECT_EQ(i.tcpi_state, TCP_ESTABLISHED);
  ASSERT_OK(shutdown(c.client.get(), SHUT_WR));
  await(c.peer, POLLRDHUP);
  sleep_ms(20);
  ASSERT_OK(getsockopt(c.client.get(), IPPROTO_TCP, TCP_INFO, &i, &size));
  // The last acknowledgement may be late.
  EXPECT_TRUE(i.tcpi_state == TCP_FIN_WAIT1 || i.tcpi_state == TCP_FIN_WAIT2);
  ASSERT_OK(getsockopt(c.peer.get(), IPPROTO_TCP, TCP_INFO, &i, &size));
  EXPECT_EQ(i.tcpi_state, TCP_CLOSE_WAIT);
  ASSERT_OK(getsockopt(c.server.get(), IPPROTO_TCP, TCP_INFO, &i, &size));
  EXPECT_EQ(i.tcpi_state, TCP_LISTEN);
  UniqueFd fresh = new_socket();
  size = 1;
  ASSERT_OK(getsockopt(fresh.get(), IPPROTO_TCP, TCP_INFO, &i, &size));
  EXPECT_EQ(size, 1u);
  EXPECT_EQ(i.tcpi_state, TCP_CLOSE);
}

TEST(InetOptions, CongestionControl) {
  UniqueFd s = new_socket();
  char name[16] = {};
  socklen_t size = sizeof name;
  ASSERT_OK(setsockopt(s.get(), IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  ASSERT_OK(getsockopt(s.get(), IPPROTO_TCP, TCP_CONGESTION, name, &size));
  EXPECT_EQ(std::string(name), "reno");
  EXPECT_EQ(size, 16u);
  EXPECT_ERR(setsockopt(s.get(), IPPROTO_TCP, TCP_CONGESTION, "nonesuch", 8), ENOENT);
}

TEST(InetOptions, OptionsOfIp) {
  UniqueFd s = new_socket(SOCK_DGRAM);
  EXPECT_EQ(get_int(s, IPPROTO_IP, IP_TTL), 64);
  EXPECT_OK(set_int(s, IPPROTO_IP, IP_TTL, 9));
  EXPECT_EQ(get_int(s, IPPROTO_IP, IP_TTL), 9);
  EXPECT_ERR(set_int(s, IPPROTO_IP, IP_TTL, 0), EINVAL);
  EXPECT_ERR(set_int(s, IPPROTO_IP, IP_TTL, 256), EINVAL);
  EXPECT_OK(set_int(s, IPPROTO_IP, IP_TTL, -1));
  EXPECT_EQ(get_int(s, IPPROTO_IP, IP_TTL), 64);
  EXPECT_OK(set_int(s, IPPROTO_IP, IP_TOS, 0xb8));
  EXPECT_EQ(get_int(s, IPPROTO_IP, IP_TOS), 0xb8);
  // One byte is enough both ways.
  unsigned char byte = 33;
  EXPECT_OK(setsockopt(s.get(), IPPROTO_IP, IP_TTL, &byte, 1));
  byte = 0;
  socklen_t size = 1;
  EXPECT_OK(getsockopt(s.get(), IPPROTO_IP, IP_TTL, &byte, &size));
  EXPECT_EQ(byte, 33);
  EXPECT_EQ(size, 1u);
  EXPECT_EQ(get_int(s, IPPROTO_IP, IP_MTU), -ENOTCONN);
  EXPECT_ERR(set_int(s, IPPROTO_IP, 30, 1), ENOPROTOOPT);
  EXPECT_ERR(set_int(s, IPPROTO_IPV6, IPV6_V6ONLY, 1), ENOPROTOOPT);
}

TEST(InetOptions, OptionsOfIpv6) {
  UniqueFd s = new_socket(SOCK_DGRAM, AF_INET6);
  EXPECT_EQ(get_int(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 64);
  EXPECT_OK(set_int(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 0));
  EXPECT_ERR(set_int(s, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256), EINVAL);
  EXPECT_EQ(get_int(s, IPPROTO_IPV6, IPV6_V6ONLY), 0);
  EXPECT_OK(set_int(s, IPPROTO_IPV6, IPV6_V6ONLY, 7));
  EXPECT_EQ(get_int(s, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  EXPECT_OK(set_int(s, IPPROTO_IPV6, IPV6_TCLASS, 0x20));
  EXPECT_EQ(get_int(s, IPPROTO_IPV6, IPV6_TCLASS), 0x20);
  EXPECT_OK(set_int(s, IPPROTO_IP, IP_TOS, 0x20));
  EXPECT_ERR(set_int(s, IPPROTO_IPV6, 250, 1), ENOPROTOOPT);
}

TEST(InetOptions, BuffersAreDoubled) {
  UniqueFd s = new_socket(SOCK_DGRAM);
  ASSERT_OK(set_int(s, SOL_SOCKET, SO_RCVBUF, 10000));
  EXPECT_EQ(get_int(s, SOL_SOCKET, SO_RCVBUF), 20000);
  ASSERT_OK(set_int(s, SOL_SOCKET, SO_SNDBUF, 1));
  EXPECT_GE(get_int(s, SOL_SOCKET, SO_SNDBUF), 2048);
  ASSERT_OK(set_int(s, SOL_SOCKET, SO_SNDBUF, 0x7fffffff));
  EXPECT_GT(get_int(s, SOL_SOCKET, SO_SNDBUF), 100000);
  ASSERT_OK(set_int(s, SOL_SOCKET, SO_SNDBUF, -1));
  EXPECT_GT(get_int(s, SOL_SOCKET, SO_SNDBUF), 0);
}

TEST(InetOptions, BindingToADevice) {
  UniqueFd s = new_socket();
  char name[IFNAMSIZ] = "x";
  socklen_t size = sizeof name;
  ASSERT_OK(getsockopt(s.get(), SOL_SOCKET, SO_BINDTODEVICE, name, &size));
  EXPECT_EQ(size, 0u);
  EXPECT_ERR(setsockopt(s.get(), SOL_SOCKET, SO_BINDTODEVICE, "none9", 6), ENODEV);
  ASSERT_OK(setsockopt(s.get(), SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
  size = sizeof name;
  ASSERT_OK(getsockopt(s.get(), SOL_SOCKET, SO_BINDTODEVICE, name, &size));
  EXPECT_EQ(std::string(name), "lo");
  EXPECT_EQ(size, 3u);
}

TEST(InetOptions, HostileValues) {
  UniqueFd s = new_socket();
  int value = 1;
  socklen_t size = sizeof value;
  void* bad = reinterpret_cast<void*>(8);
  EXPECT_ERR(setsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, bad, 4), EFAULT);
  EXPECT_ERR(getsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, bad, &size), EFAULT);
  EXPECT_ERR(setsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, &value, unsigned(-1)), EINVAL);
  size = socklen_t(-1);
  EXPECT_ERR(getsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, &value, &size), EINVAL);
  EXPECT_ERR(setsockopt(s.get(), -1, -1, &value, sizeof value), ENOPROTOOPT);
  EXPECT_ERR(setsockopt(s.get(), 12345, 1, &value, sizeof value), ENOPROTOOPT);
  size = 0;
  EXPECT_OK(getsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, &value, &size));
  EXPECT_EQ(size, 0u);
}

ifreq request(const char* name) {
  ifreq r = {};
  strcpy(r.ifr_name, name);
  return r;
}

TEST(InetOptions, TheLoopbackDevice) {
  UniqueFd s = new_socket(SOCK_DGRAM);
  ifreq r = request("lo");
  ASSERT_OK(ioctl(s.get(), SIOCGIFFLAGS, &r));
  EXPECT_EQ(r.ifr_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING),
            IFF_UP | IFF_LOOPBACK | IFF_RUNNING);
  ASSERT_OK(ioctl(s.get(), SIOCGIFINDEX, &r));
  EXPECT_EQ(r.ifr_ifindex, 1);
  ASSERT_OK(ioctl(s.get(), SIOCGIFMTU, &r));
  EXPECT_EQ(r.ifr_mtu, 65536);
  ASSERT_OK(ioctl(s.get(), SIOCGIFHWADDR, &r));
  EXPECT_EQ(r.ifr_hwaddr.sa_family, ARPHRD_LOOPBACK);
  ASSERT_OK(ioctl(s.get(), SIOCGIFADDR, &r));
  EXPECT_EQ(reinterpret_cast<sockaddr_in&>(r.ifr_addr).sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  ASSERT_OK(ioctl(s.get(), SIOCGIFNETMASK, &r));
  EXPECT_EQ(reinterpret_cast<sockaddr_in&>(r.ifr_addr).sin_addr.s_addr, htonl(0xff000000));
  r.ifr_ifindex = 1;
  ASSERT_OK(ioctl(s.get(), SIOCGIFNAME, &r));
  EXPECT_EQ(std::string(r.ifr_name), "lo");
  r = request("none9");
  EXPECT_ERR(ioctl(s.get(), SIOCGIFFLAGS, &r), ENODEV);
  EXPECT_EQ(if_nametoindex("lo"), 1u);
  // A socket of another family answers as well.
  UniqueFd local(MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
  r = request("lo");
  EXPECT_OK(ioctl(local.get(), SIOCGIFINDEX, &r));
}

TEST(InetOptions, ListOfDevices) {
  UniqueFd s = new_socket(SOCK_DGRAM);
  ifreq all[16];
  ifconf c = {};
  c.ifc_len = sizeof all;
  c.ifc_req = all;
  ASSERT_OK(ioctl(s.get(), SIOCGIFCONF, &c));
  ASSERT_GE(c.ifc_len, int(sizeof(ifreq)));
  EXPECT_EQ(std::string(all[0].ifr_name), "lo");
}

TEST(InetOptions, TheDeviceIsNotForEverybody) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  UniqueFd s = new_socket(SOCK_DGRAM);
                  ifreq r = request("lo");
                  EXPECT_ERR(ioctl(s.get(), SIOCSIFFLAGS, &r), EPERM);
                }),
                0);
}

}  // namespace
