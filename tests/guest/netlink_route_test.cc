// NETLINK_ROUTE: what it tells of the loopback device, and how it is changed.
#include "tests/guest/netlink.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>

#include "tests/guest/inet.h"

namespace {

using namespace guest;

constexpr uint16_t kAck = NLM_F_ACK;

std::string link_request(int index, unsigned flags = 0, unsigned change = 0) {
  ifinfomsg m = {};
  m.ifi_index = index;
  m.ifi_flags = flags;
  m.ifi_change = change;
  return nl::bytes_of(m);
}

std::string address_request(const char* address, uint8_t bits, int index = 1) {
  ifaddrmsg m = {};
  m.ifa_family = AF_INET;
  m.ifa_prefixlen = bits;
  m.ifa_index = unsigned(index);
  in_addr a;
  inet_pton(AF_INET, address, &a);
  return nl::bytes_of(m) + nl::attribute(IFA_LOCAL, nl::bytes_of(a)) +
         nl::attribute(IFA_ADDRESS, nl::bytes_of(a));
}

void enter_new_network() {
  if (unshare(CLONE_NEWNET) != 0) {
    ASSERT_EQ(errno, EPERM);
    SKIP("needs CAP_SYS_ADMIN");
  }
}

TEST(NetlinkRoute, TheFirstSocketHasTheProcessId) {
  UniqueFd s(MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)));
  sockaddr_nl a = {};
  socklen_t size = sizeof a;
  ASSERT_OK(getsockname(s.get(), reinterpret_cast<sockaddr*>(&a), &size));
  EXPECT_EQ(size, sizeof a);
  EXPECT_EQ(a.nl_pid, 0u);
  a = {};
  a.nl_family = AF_NETLINK;
  ASSERT_OK(bind(s.get(), reinterpret_cast<sockaddr*>(&a), sizeof a));
  ASSERT_OK(getsockname(s.get(), reinterpret_cast<sockaddr*>(&a), &size));
  EXPECT_EQ(a.nl_pid, uint32_t(getpid()));
  UniqueFd other = nl::open_socket();
  ASSERT_OK(getsockname(other.get(), reinterpret_cast<sockaddr*>(&a), &size));
  EXPECT_NE(a.nl_pid, uint32_t(getpid()));
  UniqueFd third(MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)));
  a.nl_pid = uint32_t(getpid());
  EXPECT_ERR(bind(third.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), EADDRINUSE);
}

TEST(NetlinkRoute, KindsOfSockets) {
  EXPECT_ERR(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
  EXPECT_ERR(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
  EXPECT_ERR(socket(AF_NETLINK, SOCK_RAW, 99), EPROTONOSUPPORT);
  UniqueFd s(MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE)));
  EXPECT_ERR(listen(s.get(), 1), EOPNOTSUPP);
  EXPECT_ERR(accept(s.get(), nullptr, nullptr), EOPNOTSUPP);
  char byte;
  EXPECT_ERR(recv(s.get(), &byte, 1, MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(inet::get_int(s, SOL_SOCKET, SO_PROTOCOL), NETLINK_ROUTE);
  EXPECT_EQ(inet::get_int(s, SOL_SOCKET, SO_DOMAIN), AF_NETLINK);
}

TEST(NetlinkRoute, ListOfLinks) {
  UniqueFd s = nl::open_socket();
  const auto answers = nl::ask(s, nl::message(RTM_GETLINK, NLM_F_DUMP, link_request(0)));
  ASSERT_GE(answers.size(), 2u);
  EXPECT_EQ(answers.back().header.nlmsg_type, NLMSG_DONE);
  const auto& lo = answers[0];
  EXPECT_EQ(lo.header.nlmsg_type, RTM_NEWLINK);
  EXPECT_EQ(lo.header.nlmsg_seq, 7u);
  EXPECT_EQ(lo.header.nlmsg_pid, uint32_t(getpid()));
  const auto head = lo.head<ifinfomsg>();
  EXPECT_EQ(head.ifi_index, 1);
  EXPECT_EQ(head.ifi_type, ARPHRD_LOOPBACK);
  EXPECT_EQ(head.ifi_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING),
            unsigned(IFF_UP | IFF_LOOPBACK | IFF_RUNNING));
  auto attributes = lo.attributes(sizeof head);
  EXPECT_EQ(attributes[IFLA_IFNAME], std::string("lo\0", 3));
  EXPECT_EQ(attributes[IFLA_MTU], nl::bytes_of(uint32_t(65536)));
  EXPECT_EQ(attributes[IFLA_ADDRESS], std::string(6, '\0'));
}

TEST(NetlinkRoute, OneLink) {
  UniqueFd s = nl::open_socket();
  const auto answers = nl::ask(s, nl::message(RTM_GETLINK, 0, link_request(1)));
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].header.nlmsg_type, RTM_NEWLINK);
  EXPECT_EQ(answers[0].header.nlmsg_flags, 0);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_GETLINK, 0, link_request(7777))), ENODEV);
}

TEST(NetlinkRoute, ListOfAddresses) {
  UniqueFd s = nl::open_socket();
  ifaddrmsg m = {};
  const auto answers = nl::ask(s, nl::message(RTM_GETADDR, NLM_F_DUMP, nl::bytes_of(m)));
  bool four = false, six = false;
  for (const auto& a : answers) {
    if (a.header.nlmsg_type != RTM_NEWADDR) continue;
    const auto head = a.head<ifaddrmsg>();
    auto attributes = a.attributes(sizeof head);
    if (head.ifa_index != 1) continue;
    if (head.ifa_family == AF_INET && head.ifa_prefixlen == 8) {
      four = attributes[IFA_LOCAL] == std::string("\x7f\0\0\1", 4) &&
             attributes[IFA_LABEL] == std::string("lo\0", 3);
    }
    if (head.ifa_family == AF_INET6 && head.ifa_prefixlen == 128) {
      six = attributes[IFA_ADDRESS] == std::string(15, '\0') + "\1";
    }
  }
  EXPECT_TRUE(four);
  EXPECT_TRUE(six);
}

TEST(NetlinkRoute, ListOfRoutesHasTheLocalOnes) {
  UniqueFd s = nl::open_socket();
  rtmsg m = {};
  m.rtm_family = AF_INET;
  bool found = false;
  for (const auto& a : nl::ask(s, nl::message(RTM_GETROUTE, NLM_F_DUMP, nl::bytes_of(m)))) {
    if (a.header.nlmsg_type != RTM_NEWROUTE) continue;
    const auto head = a.head<rtmsg>();
    auto attributes = a.attributes(sizeof head);
    found |= head.rtm_dst_len == 8 && head.rtm_type == RTN_LOCAL &&
             attributes[RTA_DST] == std::string("\x7f\0\0\0", 4);
  }
  EXPECT_TRUE(found);
}

TEST(NetlinkRoute, LibraryFunctions) {
  ifaddrs* all = nullptr;
  ASSERT_OK(getifaddrs(&all));
  bool four = false, six = false;
  for (ifaddrs* a = all; a; a = a->ifa_next) {
    if (std::string(a->ifa_name) != "lo" || !a->ifa_addr) continue;
    four |= a->ifa_addr->sa_family == AF_INET;
    six |= a->ifa_addr->sa_family == AF_INET6;
  }
  freeifaddrs(all);
  EXPECT_TRUE(four);
  EXPECT_TRUE(six);
  auto* names = if_nameindex();
  ASSERT_TRUE(names);
  EXPECT_EQ(names[0].if_index, 1u);
  EXPECT_EQ(std::string(names[0].if_name), "lo");
  if_freenameindex(names);
}

TEST(NetlinkRoute, RequestsThatAreNone) {
  UniqueFd s = nl::open_socket();
  EXPECT_EQ(nl::result_of(s, nl::message(255, kAck, std::string(16, '\0'))), EOPNOTSUPP);
  // A message of the netlink layer itself is only acknowledged.
  EXPECT_EQ(nl::result_of(s, nl::message(9, kAck, "")), 0);
  // Cut short, and longer than what was sent: nothing is answered.
  std::string bad = nl::message(RTM_GETLINK, NLM_F_DUMP, link_request(0));
  bad[0] = 15;
  EXPECT_EQ(send(s.get(), bad.data(), bad.size(), 0), ssize_t(bad.size()));
  bad[0] = 120;
  EXPECT_EQ(send(s.get(), bad.data(), bad.size(), 0), ssize_t(bad.size()));
  EXPECT_EQ(send(s.get(), "abc", 3, 0), 3);
  // Not even a family.
  bad = nl::message(RTM_GETLINK, NLM_F_DUMP, "");
  EXPECT_EQ(send(s.get(), bad.data(), bad.size(), 0), ssize_t(bad.size()));
  char byte;
  EXPECT_ERR(recv(s.get(), &byte, 1, MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_GETLINK, 0, std::string(4, '\0'))), EINVAL);
}

TEST(NetlinkRoute, ErrorsRepeatTheRequest) {
  UniqueFd s = nl::open_socket();
  const std::string request = nl::message(RTM_GETLINK, 0, link_request(7777));
  auto answers = nl::ask(s, request);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].body.size(), 4 + request.size());
  EXPECT_EQ(answers[0].body.substr(4), request);
  ASSERT_OK(inet::set_int(s, SOL_NETLINK, NETLINK_CAP_ACK, 1));
  answers = nl::ask(s, request);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].body.size(), 4 + sizeof(nlmsghdr));
  EXPECT_EQ(answers[0].header.nlmsg_flags, NLM_F_CAPPED);
}

TEST(NetlinkRoute, PeekAndTruncTellTheSize) {
  UniqueFd s = nl::open_socket();
  const std::string request = nl::message(RTM_GETLINK, 0, link_request(7777));
  ASSERT_EQ(send(s.get(), request.data(), request.size(), 0), ssize_t(request.size()));
  char byte;
  EXPECT_EQ(recv(s.get(), &byte, 1, MSG_PEEK | MSG_TRUNC), 52);
  sockaddr_nl from = {};
  socklen_t size = sizeof from;
  EXPECT_EQ(recvfrom(s.get(), &byte, 1, MSG_TRUNC, reinterpret_cast<sockaddr*>(&from), &size), 52);
  EXPECT_EQ(size, sizeof from);
  EXPECT_EQ(from.nl_pid, 0u);
  EXPECT_EQ(from.nl_family, AF_NETLINK);
}

TEST(NetlinkRoute, ChangesAreForTheAdministrator) {
  EXPECT_EXITED(
      run_child([] {
        become_unprivileged();
        UniqueFd s = nl::open_socket();
        EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWLINK, kAck, link_request(1))), EPERM);
        EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWADDR, kAck, address_request("127.0.0.1", 8))),
                  EPERM);
        const auto links = nl::ask(s, nl::message(RTM_GETLINK, NLM_F_DUMP, link_request(0)));
        EXPECT_GE(links.size(), 2u);
      }),
      0);
}

TEST(NetlinkRoute, ANewNetworkIsSetUp) {
  enter_new_network();
  UniqueFd s = nl::open_socket();
  auto links = nl::ask(s, nl::message(RTM_GETLINK, NLM_F_DUMP, link_request(0)));
  ASSERT_GE(links.size(), 2u);
  EXPECT_EQ(links[0].head<ifinfomsg>().ifi_flags, unsigned(IFF_LOOPBACK));
  ifaddrmsg any = {};
  EXPECT_EQ(nl::ask(s, nl::message(RTM_GETADDR, NLM_F_DUMP, nl::bytes_of(any))).size(), 1u);
  // As bwrap(1) does it.
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWADDR, kAck | NLM_F_CREATE | NLM_F_EXCL,
                                         address_request("127.0.0.1", 8))),
            0);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWLINK, kAck, link_request(1, IFF_UP, IFF_UP))), 0);
  inet::Connection c;
  inet::say(c.client, "up");
  EXPECT_EQ(inet::receive(c.peer), "up");
  links = nl::ask(s, nl::message(RTM_GETLINK, NLM_F_DUMP, link_request(0)));
  EXPECT_EQ(links[0].head<ifinfomsg>().ifi_flags & IFF_UP, unsigned(IFF_UP));
}

TEST(NetlinkRoute, AddressesComeAndGo) {
  enter_new_network();
  UniqueFd s = nl::open_socket();
  ASSERT_EQ(nl::result_of(s, nl::message(RTM_NEWLINK, kAck, link_request(1, IFF_UP, IFF_UP))), 0);
  const uint16_t create = kAck | NLM_F_CREATE | NLM_F_EXCL;
  const std::string more = address_request("10.1.2.3", 24);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWADDR, create, more)), 0);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWADDR, create, more)), EEXIST);
  UniqueFd bound = inet::new_socket();
  EXPECT_OK(inet::bind_to(bound, inet::v4(0, "10.1.2.3")));
  EXPECT_OK(listen(bound.get(), 1));
  UniqueFd client = inet::new_socket();
  EXPECT_OK(inet::connect_to(client, inet::v4(inet::port_of(bound), "10.1.2.3")));
  EXPECT_EQ(inet::name_of(client).substr(0, 9), "10.1.2.3 ");
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_DELADDR, kAck, more)), 0);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_DELADDR, kAck, more)), EADDRNOTAVAIL);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWADDR, create, address_request("10.1.2.3", 24, 7))),
            ENODEV);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWADDR, create, address_request("10.1.2.3", 99))),
            EINVAL);
  EXPECT_EQ(nl::result_of(s, nl::message(RTM_NEWLINK, kAck, link_request(7, IFF_UP, IFF_UP))),
            ENODEV);
}

TEST(NetlinkRoute, GroupsMayBeJoined) {
  UniqueFd s = nl::open_socket();
  EXPECT_OK(inet::set_int(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK));
  EXPECT_ERR(inet::set_int(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, 0), EINVAL);
  EXPECT_ERR(inet::set_int(s, SOL_NETLINK, 999, 1), ENOPROTOOPT);
  UniqueFd events(MUST(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)));
  sockaddr_nl a = {};
  a.nl_family = AF_NETLINK;
  a.nl_groups = 1;
  EXPECT_OK(bind(events.get(), reinterpret_cast<sockaddr*>(&a), sizeof a));
  char byte;
  EXPECT_ERR(recv(events.get(), &byte, 1, MSG_DONTWAIT), EAGAIN);
}

}  // namespace
