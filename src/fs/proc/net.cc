// /proc/PID/net: proc_pid_net(5).
#include <fmt/format.h>

#include <algorithm>

#include "fs/proc/inode.h"
#include "fs/proc/maps_of_ids.h"
#include "fs/proc/net.h"
#include "net/unix/socket_list.h"

namespace usk::proc {
namespace {

constexpr uint32_t kFile = S_IFREG | 0444;

// A path, or an abstract name with '@' for its zero bytes.
std::string shown_name(const SocketAddress& address) {
  constexpr size_t kAt = sizeof(sa_family_t);
  if (address.bytes.size() <= kAt) return {};
  std::string name = address.bytes.substr(kAt);
  if (name[0] == 0) {
    std::replace(name.begin(), name.end(), '\0', '@');
  } else {
    name.resize(std::min(name.find('\0'), name.size()));
  }
  return " " + name;
}

// Unlike Linux: sockets stand in order of their making, and Num is their number.
Result<std::string> unix_text(const Subject& s) {
  std::string out = "Num       RefCount Protocol Flags    Type St Inode Path\n";
  const Ref<Task> t = TRY(s.task());
  Ref<PlainNamespace> net;
  {
    Lock lock(task_mutex);
    net = t->ns.net;
  }
  if (!net) return Err(EINVAL);
  const Ref<UnixNamespace> names = UnixNamespace::of(net->id());
  for (const Ref<UnixSocket>& one : all_unix_sockets(*names)) {
    UnixEndpoint& e = one->endpoint();
    const bool listening = e.is_listening(), connected = e.is_connected();
    out += fmt::format("{:016x}: {:08X} 00000000 {:08X} {:04X} {:02X} {:5}{}\n", one->id(),
                       connected ? 3 : 2, listening ? 0x10000 : 0, e.type(), connected ? 3 : 1,
                       one->inode().ino(), shown_name(e.address()));
  }
  return out;
}
// Lists of what there is none of.
template <const std::string_view& kHeader>
Result<std::string> header_text(const Subject&) {
  return std::string(kHeader);
}
constexpr std::string_view kArp =
    "IP address       HW type     Flags       HW address            Mask     Device\n";
constexpr std::string_view kPacket =
    "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n";
constexpr std::string_view kRaw =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode ref pointer drops\n";
constexpr std::string_view kRaw6 =
    "  sl  local_address                         remote_address                        st "
    "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";

constexpr Entry kNet[] = {
    {.name = "arp", .mode = kFile, .text = header_text<kArp>},
    {.name = "dev", .mode = kFile, .text = dev_text},
    {.name = "icmp", .mode = kFile, .text = header_text<kRaw>},
    {.name = "icmp6", .mode = kFile, .text = header_text<kRaw6>},
    {.name = "if_inet6", .mode = kFile, .text = if_inet6_text},
    {.name = "ipv6_route", .mode = kFile, .text = ipv6_route_text},
    {.name = "netlink", .mode = kFile, .text = netlink_text},
    {.name = "packet", .mode = kFile, .text = header_text<kPacket>},
    {.name = "raw", .mode = kFile, .text = header_text<kRaw>},
    {.name = "raw6", .mode = kFile, .text = header_text<kRaw6>},
    {.name = "route", .mode = kFile, .text = route_text},
    {.name = "snmp", .mode = kFile, .text = snmp_text},
    {.name = "sockstat", .mode = kFile, .text = sockstat_text},
    {.name = "sockstat6", .mode = kFile, .text = sockstat6_text},
    {.name = "tcp", .mode = kFile, .text = tcp_text},
    {.name = "tcp6", .mode = kFile, .text = tcp6_text},
    {.name = "udp", .mode = kFile, .text = udp_text},
    {.name = "udp6", .mode = kFile, .text = udp6_text},
    {.name = "unix", .mode = kFile, .text = unix_text},
};

}  // namespace

static const NamedTable kNetTable("net", kNet);

Ref<Inode> make_net_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TableDir>(s, ino, e.mode, kNet);
}

}  // namespace usk::proc
