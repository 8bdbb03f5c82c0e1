// /proc/PID/net: proc_pid_net(5). The network namespace has a loopback device and no connections.
#include <fmt/format.h>

#include <algorithm>

#include "fs/proc/inode.h"
#include "fs/proc/maps_of_ids.h"
#include "net/unix/socket_list.h"

namespace usk::proc {
namespace {

constexpr uint32_t kFile = S_IFREG | 0444;

Result<std::string> dev_text(const Subject&) {
  return "Inter-|   Receive                                                |  Transmit\n"
         " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
         "drop fifo colls carrier compressed\n"
         "    lo:       0       0    0    0    0     0          0         0        0       0    0"
         "    0    0     0       0          0\n";
}
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
Result<std::string> tcp_text(const Subject&) {
  return "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
         "timeout inode                                                     \n";
}
Result<std::string> tcp6_text(const Subject&) {
  return "  sl  local_address                         remote_address                        st "
         "tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
}
Result<std::string> udp_text(const Subject&) {
  return "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
         "timeout inode ref pointer drops             \n";
}
Result<std::string> route_text(const Subject&) {
  return "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
}
Result<std::string> empty_text(const Subject&) { return std::string(); }

constexpr Entry kNet[] = {
    {.name = "dev", .mode = kFile, .text = dev_text},
    {.name = "if_inet6", .mode = kFile, .text = empty_text},
    {.name = "route", .mode = kFile, .text = route_text},
    {.name = "tcp", .mode = kFile, .text = tcp_text},
    {.name = "tcp6", .mode = kFile, .text = tcp6_text},
    {.name = "udp", .mode = kFile, .text = udp_text},
    {.name = "udp6", .mode = kFile, .text = tcp6_text},
    {.name = "unix", .mode = kFile, .text = unix_text},
};

}  // namespace

static const NamedTable kNetTable("net", kNet);

Ref<Inode> make_net_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TableDir>(s, ino, e.mode, kNet);
}

}  // namespace usk::proc
