// NETLINK_SOCK_DIAG and the lists of sockets in /proc/net.
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/guest/inet.h"
#include "tests/guest/netlink.h"

namespace {

using namespace guest;
using namespace inet;

uint32_t inode_of(const UniqueFd& fd) {
  struct stat info;
  MUST(fstat(fd.get(), &info));
  return uint32_t(info.st_ino);
}

struct Found {
  bool found = false;
  inet_diag_msg m = {};
};

Found find(int family, int protocol, const UniqueFd& fd, uint32_t states = ~0u) {
  UniqueFd s = nl::open_socket(NETLINK_SOCK_DIAG);
  inet_diag_req_v2 r = {};
  r.sdiag_family = uint8_t(family);
  r.sdiag_protocol = uint8_t(protocol);
  r.idiag_states = states;
  const auto answers = nl::ask(s, nl::message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, nl::bytes_of(r)));
  EXPECT_EQ(answers.back().header.nlmsg_type, NLMSG_DONE);
  for (const auto& a : answers) {
    if (a.header.nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
    const auto m = a.head<inet_diag_msg>();
    if (m.idiag_inode == inode_of(fd)) return {true, m};
  }
  return {};
}

TEST(SockDiag, ListsConnectionsAndListeners) {
  Connection c;
  const Found listening = find(AF_INET, IPPROTO_TCP, c.server);
  ASSERT_TRUE(listening.found);
  EXPECT_EQ(listening.m.idiag_state, TCP_LISTEN);
  EXPECT_EQ(ntohs(listening.m.id.idiag_sport), port_of(c.server));
  EXPECT_EQ(listening.m.idiag_wqueue, 5u);
  const Found connected = find(AF_INET, IPPROTO_TCP, c.client);
  ASSERT_TRUE(connected.found);
  EXPECT_EQ(connected.m.idiag_state, TCP_ESTABLISHED);
  EXPECT_EQ(ntohs(connected.m.id.idiag_dport), port_of(c.server));
  EXPECT_EQ(connected.m.id.idiag_dst[0], htonl(INADDR_LOOPBACK));
  EXPECT_EQ(connected.m.idiag_uid, geteuid());
  EXPECT_FALSE(find(AF_INET, IPPROTO_TCP, c.client, 1u << TCP_LISTEN).found);
  EXPECT_FALSE(find(AF_INET6, IPPROTO_TCP, c.client).found);
}

TEST(SockDiag, ListsDatagramSockets) {
  UniqueFd four = bound(), six = bound(SOCK_DGRAM, AF_INET6);
  const Found f = find(AF_INET, IPPROTO_UDP, four);
  ASSERT_TRUE(f.found);
  EXPECT_EQ(f.m.idiag_state, TCP_CLOSE);
  EXPECT_TRUE(find(AF_INET6, IPPROTO_UDP, six).found);
}

TEST(SockDiag, UnreadBytes) {
  Connection c;
  say(c.client, "12345");
  await(c.peer, POLLIN);
  EXPECT_EQ(find(AF_INET, IPPROTO_TCP, c.peer).m.idiag_rqueue, 5u);
}

TEST(SockDiag, ListsUnixSockets) {
  int fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
  UniqueFd a(fds[0]), b(fds[1]);
  UniqueFd s = nl::open_socket(NETLINK_SOCK_DIAG);
  unix_diag_req r = {};
  r.sdiag_family = AF_UNIX;
  r.udiag_states = ~0u;
  r.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER;
  bool found = false;
  for (const auto& one :
       nl::ask(s, nl::message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, nl::bytes_of(r)))) {
    const auto m = one.head<unix_diag_msg>();
    if (one.header.nlmsg_type != SOCK_DIAG_BY_FAMILY || m.udiag_ino != inode_of(a)) continue;
    found = true;
    EXPECT_EQ(m.udiag_type, SOCK_STREAM);
    EXPECT_EQ(m.udiag_state, TCP_ESTABLISHED);
    EXPECT_EQ(one.attributes(sizeof m)[UNIX_DIAG_PEER], nl::bytes_of(inode_of(b)));
  }
  EXPECT_TRUE(found);
}

TEST(SockDiag, RequestsThatAreNone) {
  UniqueFd s = nl::open_socket(NETLINK_SOCK_DIAG);
  std::string body(56, '\0');
  body[0] = 99;
  EXPECT_EQ(nl::result_of(s, nl::message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, body)), EINVAL);
  EXPECT_EQ(nl::result_of(s, nl::message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, "")), EINVAL);
  EXPECT_EQ(nl::result_of(s, nl::message(77, NLM_F_ACK, body)), EINVAL);
}

std::string line_of(const char* path, const UniqueFd& fd) {
  const std::string text = read_file(path), inode = " " + std::to_string(inode_of(fd)) + " ";
  size_t at = text.find(inode);
  if (at == std::string::npos) return "";
  const size_t begin = text.rfind('\n', at) + 1;
  return text.substr(begin, text.find('\n', at) - begin);
}

TEST(ProcNet, Tcp) {
  Connection c;
  char want[64];
  snprintf(want, sizeof want, ": 0100007F:%04X 00000000:0000 0A ", port_of(c.server));
  EXPECT_TRUE(line_of("/proc/net/tcp", c.server).find(want) != std::string::npos);
  snprintf(want, sizeof want, ": 0100007F:%04X 0100007F:%04X 01 ", port_of(c.client),
           port_of(c.server));
  const std::string line = line_of("/proc/net/tcp", c.client);
  EXPECT_TRUE(line.find(want) != std::string::npos);
  EXPECT_EQ(line.size(), 149u);
}

TEST(ProcNet, TcpOfSix) {
  Connection c(AF_INET6);
  char want[96];
  snprintf(want, sizeof want,
           ": 00000000000000000000000001000000:%04X 00000000000000000000000000000000:0000 0A ",
           port_of(c.server));
  EXPECT_TRUE(line_of("/proc/net/tcp6", c.server).find(want) != std::string::npos);
}

TEST(ProcNet, Udp) {
  UniqueFd s = bound();
  char want[64];
  snprintf(want, sizeof want, ": 0100007F:%04X 00000000:0000 07 ", port_of(s));
  const std::string line = line_of("/proc/net/udp", s);
  EXPECT_TRUE(line.find(want) != std::string::npos);
  EXPECT_EQ(line.size(), 127u);
}

TEST(ProcNet, DeviceAndSettings) {
  EXPECT_TRUE(read_file("/proc/net/dev").find("\n    lo: ") != std::string::npos);
  EXPECT_TRUE(read_file("/proc/net/if_inet6")
                  .find("00000000000000000000000000000001 01 80 10 80       lo\n") !=
              std::string::npos);
  EXPECT_TRUE(read_file("/proc/net/sockstat").find("TCP: inuse ") != std::string::npos);
  EXPECT_TRUE(read_file("/proc/net/snmp").find("\nUdp: ") != std::string::npos);
  EXPECT_TRUE(read_file("/proc/net/ipv6_route").find("00000000000000000000000000000001 80 ") !=
              std::string::npos);
  EXPECT_TRUE(read_file("/proc/net/raw").find("  sl  local_address rem_address ") == 0);
  EXPECT_TRUE(read_file("/proc/net/arp").find("IP address ") == 0);
  int low = 0, high = 0;
  ASSERT_EQ(
      sscanf(read_file("/proc/sys/net/ipv4/ip_local_port_range").c_str(), "%d %d", &low, &high), 2);
  UniqueFd s = bound();
  EXPECT_GE(int(port_of(s)), low);
  EXPECT_LE(int(port_of(s)), high);
  EXPECT_GT(atoi(read_file("/proc/sys/net/core/somaxconn").c_str()), 0);
}

}  // namespace
