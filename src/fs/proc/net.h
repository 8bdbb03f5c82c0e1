// The files of /proc/PID/net about the internet, and /proc/sys/net.
#pragma once
#include "fs/proc/entry.h"
#include "net/inet/network.h"

namespace usk::proc {

// The network of the task that a file is about. ESRCH, EINVAL.
Result<Ref<InetNetwork>> network_of_subject(const Subject& s);

// Sockets (net_sockets.cc).
Result<std::string> tcp_text(const Subject& s);
Result<std::string> tcp6_text(const Subject& s);
Result<std::string> udp_text(const Subject& s);
Result<std::string> udp6_text(const Subject& s);
Result<std::string> netlink_text(const Subject& s);
Result<std::string> sockstat_text(const Subject& s);
Result<std::string> sockstat6_text(const Subject& s);

// The device, its addresses and counts (net_device.cc).
Result<std::string> dev_text(const Subject& s);
Result<std::string> route_text(const Subject& s);
Result<std::string> if_inet6_text(const Subject& s);
Result<std::string> ipv6_route_text(const Subject& s);
Result<std::string> snmp_text(const Subject& s);

// /proc/sys/net: the reader's own network.
std::span<const Entry> net_sysctls();

}  // namespace usk::proc
