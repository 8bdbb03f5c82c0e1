// The loopback device in /proc/PID/net, and the settings of /proc/sys/net.
#include <fmt/format.h>

#include <charconv>
#include <climits>

#include "fs/proc/net.h"
#include "kernel/kernel.h"
#include "kernel/task/network_namespace.h"

namespace usk::proc {
namespace {

constexpr uint32_t kFile = S_IFREG | 0444, kWritable = S_IFREG | 0644, kDir = S_IFDIR | 0555;

// A value that does not change.
#define USK_FIXED(entry, value)                                                      \
  {.name = entry, .mode = kFile, .text = [](const Subject&) -> Result<std::string> { \
     return value "\n";                                                              \
   }}

// The caller's.
Result<Ref<InetNetwork>> own_network() {
  Task* t = current_task();
  Ref<InetNetwork> network = t && t->ns.net ? network_of(*t->ns.net) : Ref<InetNetwork>();
  if (!network) return Err(ESRCH);
  return network;
}

Result<Ref<InetNetwork>> network_to_change() {
  Ref<InetNetwork> network = TRY(own_network());
  if (!network->may_administer(*current_task()->creds)) return Err(EPERM);
  return network;
}

// The number at the beginning of `text`, which it is cut off. EINVAL.
Result<int> take_number(std::string_view& text) {
  while (!text.empty() && (text[0] == ' ' || text[0] == '\t')) text.remove_prefix(1);
  int v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc()) return Err(EINVAL);
  text.remove_prefix(size_t(end - text.data()));
  return v;
}

template <auto NetworkSettings::* kMember>
Result<std::string> number_text(const Subject&) {
  return fmt::format("{}\n", (TRY(own_network())->settings.*kMember).load());
}
template <auto NetworkSettings::* kMember, int kMost>
Result<void> set_number(const Subject&, std::string_view text) {
  const Ref<InetNetwork> network = TRY(network_to_change());
  const int v = TRY(take_number(text));
  if (v < 0 || v > kMost) return Err(EINVAL);
  (network->settings.*kMember).store(v);
  return {};
}

Result<std::string> range_text(const Subject&) {
  const Ref<InetNetwork> network = TRY(own_network());
  return fmt::format("{}\t{}\n", network->settings.low_port.load(),
                     network->settings.high_port.load());
}
Result<void> set_range(const Subject&, std::string_view text) {
  const Ref<InetNetwork> network = TRY(network_to_change());
  const int low = TRY(take_number(text)), high = TRY(take_number(text));
  if (low < 1 || high < low || high > 65535) return Err(EINVAL);
  if (low < network->settings.unprivileged_port_start) return Err(EINVAL);
  network->settings.low_port = low;
  network->settings.high_port = high;
  return {};
}

constexpr Entry kCore[] = {
    USK_FIXED("default_qdisc", "pfifo_fast"),
    USK_FIXED("netdev_max_backlog", "1000"),
    USK_FIXED("optmem_max", "131072"),
    USK_FIXED("rmem_default", "212992"),
    USK_FIXED("rmem_max", "4194304"),
    {.name = "somaxconn",
     .mode = kWritable,
     .text = number_text<&NetworkSettings::somaxconn>,
     .write = set_number<&NetworkSettings::somaxconn, INT_MAX>},
    USK_FIXED("wmem_default", "212992"),
    USK_FIXED("wmem_max", "4194304"),
};
constexpr Entry kIpv4[] = {
    USK_FIXED("ip_default_ttl", "64"),
    USK_FIXED("ip_forward", "0"),
    {.name = "ip_local_port_range", .mode = kWritable, .text = range_text, .write = set_range},
    USK_FIXED("ip_local_reserved_ports", ""),
    USK_FIXED("ip_nonlocal_bind", "0"),
    {.name = "ip_unprivileged_port_start",
     .mode = kWritable,
     .text = number_text<&NetworkSettings::unprivileged_port_start>,
     .write = set_number<&NetworkSettings::unprivileged_port_start, 65535>},
    USK_FIXED("ping_group_range", "1\t0"),
    USK_FIXED("tcp_allowed_congestion_control", "reno cubic"),
    USK_FIXED("tcp_available_congestion_control", "reno cubic"),
    USK_FIXED("tcp_congestion_control", "cubic"),
    USK_FIXED("tcp_fastopen", "1"),
    USK_FIXED("tcp_fin_timeout", "60"),
    USK_FIXED("tcp_keepalive_intvl", "75"),
    USK_FIXED("tcp_keepalive_probes", "9"),
    USK_FIXED("tcp_keepalive_time", "7200"),
    USK_FIXED("tcp_max_syn_backlog", "1024"),
    USK_FIXED("tcp_max_tw_buckets", "16384"),
    USK_FIXED("tcp_rmem", "4096\t131072\t6291456"),
    USK_FIXED("tcp_sack", "1"),
    USK_FIXED("tcp_syn_retries", "6"),
    USK_FIXED("tcp_syncookies", "1"),
    USK_FIXED("tcp_timestamps", "1"),
    USK_FIXED("tcp_tw_reuse", "2"),
    USK_FIXED("tcp_window_scaling", "1"),
    USK_FIXED("tcp_wmem", "4096\t16384\t4194304"),
};
constexpr Entry kIpv6Device[] = {USK_FIXED("disable_ipv6", "0"), USK_FIXED("mtu", "65536")};
constexpr Entry kIpv6Conf[] = {
    {.name = "all", .mode = kDir, .children = kIpv6Device},
    {.name = "default", .mode = kDir, .children = kIpv6Device},
    {.name = "lo", .mode = kDir, .children = kIpv6Device},
};
constexpr Entry kIpv6[] = {
    USK_FIXED("bindv6only", "0"),
    {.name = "conf", .mode = kDir, .children = kIpv6Conf},
};
constexpr Entry kUnix[] = {USK_FIXED("max_dgram_qlen", "512")};
constexpr Entry kNet[] = {
    {.name = "core", .mode = kDir, .children = kCore},
    {.name = "ipv4", .mode = kDir, .children = kIpv4},
    {.name = "ipv6", .mode = kDir, .children = kIpv6},
    {.name = "unix", .mode = kDir, .children = kUnix},
};
#undef USK_FIXED

}  // namespace

static const NamedTable kNetSysctlsTable("net_sysctls", kNet);

std::span<const Entry> net_sysctls() { return kNet; }

Result<std::string> dev_text(const Subject& s) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  const uint64_t bytes = network->counts.bytes, packets = network->counts.segments;
  return fmt::format(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
      "drop fifo colls carrier compressed\n"
      "    lo: {:7} {:7}    0    0    0     0          0         0 {:8} {:7}    0    0    0     0"
      "       0          0\n",
      bytes, packets, bytes, packets);
}

// The main table, which the loopback device has nothing in.
Result<std::string> route_text(const Subject&) {
  return fmt::format("{:<127}\n",
                     "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU"
                     "\tWindow\tIRTT");
}

Result<std::string> if_inet6_text(const Subject& s) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  std::string out;
  for (const auto& a : network->addresses()) {
    if (a.address.is_v4()) continue;
    for (uint8_t byte : a.address.bytes) out += fmt::format("{:02x}", byte);
    const bool host = a.address == IpAddress::loopback(true);
    out += fmt::format(" {:02x} {:02x} {:02x} 80 {:>8}\n", InetNetwork::kDevice, a.bits,
                       host ? 0x10 : 0, "lo");
  }
  return out;
}

// Destination, source, next hop, metric, references, uses, flags.
Result<std::string> ipv6_route_text(const Subject& s) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  const std::string zero(32, '0');
  std::string out;
  auto line = [&](const std::string& to, uint8_t bits, const char* rest) {
    out += fmt::format("{} {:02x} {} 00 {} {} {:>8}\n", to, bits, zero, zero, rest, "lo");
  };
  for (const auto& a : network->addresses()) {
    if (a.address.is_v4()) continue;
    std::string digits;
    for (uint8_t byte : a.address.bytes) digits += fmt::format("{:02x}", byte);
    line(digits, 128, "00000000 00000001 00000000 80200001");
  }
  line(zero, 0, "ffffffff 00000001 00000000 00200200");
  return out;
}

Result<std::string> snmp_text(const Subject& s) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  const auto& c = network->counts;
  const uint64_t segments = c.segments, arrived = c.udp_in, lost = c.udp_full,
                 no_ports = c.udp_no_ports;
  const uint64_t datagrams = arrived + lost + no_ports;
  return fmt::format(
      "Ip: Forwarding DefaultTTL InReceives InDelivers OutRequests\n"
      "Ip: 2 64 {0} {0} {0}\n"
      "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets "
      "CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n"
      "Tcp: 1 200 120000 -1 {1} {2} {3} {4} 0 {5} {5} 0 0 {4} 0\n"
      "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
      "IgnoredMulti MemErrors\n"
      "Udp: {6} {7} {8} {9} {8} 0 0 0 0\n",
      segments + datagrams, c.active_opens.load(), c.passive_opens.load(), c.failed_attempts.load(),
      c.resets.load(), segments, arrived, no_ports, lost, datagrams);
}

}  // namespace usk::proc
