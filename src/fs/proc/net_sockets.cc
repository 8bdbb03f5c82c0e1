// Lists of sockets in /proc/PID/net: proc_pid_net(5).
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/timer.h"
#include "fs/proc/net.h"
#include "kernel/kernel.h"
#include "kernel/task/network_namespace.h"
#include "net/inet/inet_socket.h"
#include "net/netlink/netlink_socket.h"

namespace usk::proc {
namespace {

// As words of memory, which is how these files have always shown addresses.
std::string shown(const IpPort& where, bool v6) {
  std::string out;
  for (size_t at = v6 ? 0 : 12; at < 16; at += 4) {
    uint32_t word;
    memcpy(&word, where.address.bytes.data() + at, sizeof word);
    out += fmt::format("{:08X}", word);
  }
  return out + fmt::format(":{:04X}", where.port);
}

uint32_t owner_of(File& file) {
  const auto attr = file.inode().getattr();
  const Task* t = current_task();
  const Uid uid = attr ? attr->uid : 0;
  return t ? t->creds->user_ns->uid_out(uid) : uid;
}

Result<std::string> tcp_lines(const Subject& s, bool v6) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  std::string out = v6 ? "  sl  local_address                         remote_address              "
                         "          st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
                         "\n"
                       : "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
                         "retrnsmt   uid  timeout inode                                          "
                         "           \n";
  int line = 0;
  for (const auto& one : all_inet_sockets(*network)) {
    if (one->type() != SOCK_STREAM || one->is_v6() != v6) continue;
    const auto f = one->facts();
    if (f.local.port == 0) continue;
    const std::string text = fmt::format(
        "{:4}: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {} 2 {:016x} 20 4 30 10 "
        "-1",
        line++, shown(f.local, v6), shown(f.remote, v6), f.state,
        f.state == TCP_LISTEN ? 0 : f.send_queue, f.receive_queue, owner_of(*one), 0,
        one->inode().ino(), one->id());
    out += fmt::format("{:<{}}\n", text, v6 ? 0 : 149);
  }
  const int64_t now = timer_service().now(CLOCK_MONOTONIC);
  for (const auto& w : network->tcp.waiting()) {
    if (w.local.address.is_v4() == v6) continue;
    const std::string text =
        fmt::format("{:4}: {} {} {:02X} 00000000:00000000 03:{:08X} 00000000 {:5} {:8} 0 3 {:016x}",
                    line++, shown(w.local, v6), shown(w.remote, v6), int(TCP_TIME_WAIT),
                    uint64_t(std::max<int64_t>(w.until - now, 0) / 10'000'000), 0, 0, 0);
    out += fmt::format("{:<{}}\n", text, v6 ? 0 : 149);
  }
  return out;
}

Result<std::string> udp_lines(const Subject& s, bool v6) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  std::string out = v6 ? "  sl  local_address                         remote_address              "
                         "          st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
                         " ref pointer drops\n"
                       : "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
                         "retrnsmt   uid  timeout inode ref pointer drops             \n";
  for (const auto& one : all_inet_sockets(*network)) {
    if (one->type() != SOCK_DGRAM || one->is_v6() != v6) continue;
    const auto f = one->facts();
    if (f.local.port == 0) continue;
    const std::string text = fmt::format(
        "{:5}: {} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {} 2 {:016x} {}",
        f.local.port, shown(f.local, v6), shown(f.remote, v6), f.state, f.send_queue,
        f.receive_queue, owner_of(*one), 0, one->inode().ino(), one->id(), f.drops);
    out += fmt::format("{:<{}}\n", text, v6 ? 0 : 127);
  }
  return out;
}

struct Counts {
  int tcp[2] = {}, udp[2] = {}, allocated = 0, all = 0;
};

Counts count(const InetNetwork& network) {
  Counts c;
  for (const auto& one : all_inet_sockets(network)) {
    ++c.all;
    const bool used = one->facts().local.port != 0;
    if (one->type() == SOCK_DGRAM) {
      c.udp[one->is_v6()] += used;
    } else {
      c.tcp[one->is_v6()] += used;
      ++c.allocated;
    }
  }
  return c;
}

}  // namespace

Result<Ref<InetNetwork>> network_of_subject(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Ref<PlainNamespace> net;
  {
    Lock lock(task_mutex);
    net = t->ns.net;
  }
  Ref<InetNetwork> network = net ? network_of(*net) : Ref<InetNetwork>();
  if (!network) return Err(EINVAL);
  return network;
}

Result<std::string> tcp_text(const Subject& s) { return tcp_lines(s, false); }
Result<std::string> tcp6_text(const Subject& s) { return tcp_lines(s, true); }
Result<std::string> udp_text(const Subject& s) { return udp_lines(s, false); }
Result<std::string> udp6_text(const Subject& s) { return udp_lines(s, true); }

Result<std::string> netlink_text(const Subject& s) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  std::string out =
      "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n";
  for (const auto& one : all_netlink_sockets(*network)) {
    out +=
        fmt::format("{:016x} {:<3} {:<10} {:08x} {:<8} {:<8} {:<5} {:<8} {:<8} {:<8}\n", one->id(),
                    one->protocol(), one->port(), 0, 0, 0, 0, 2, 0, one->inode().ino());
  }
  return out;
}

Result<std::string> sockstat_text(const Subject& s) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  const Counts c = count(*network);
  return fmt::format(
      "sockets: used {}\nTCP: inuse {} orphan 0 tw {} alloc {} mem 0\nUDP: inuse {} mem 0\n"
      "UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
      c.all, c.tcp[0], network->tcp.waiting().size(), c.allocated, c.udp[0]);
}

Result<std::string> sockstat6_text(const Subject& s) {
  const Ref<InetNetwork> network = TRY(network_of_subject(s));
  const Counts c = count(*network);
  return fmt::format(
      "TCP6: inuse {}\nUDP6: inuse {}\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory "
      "0\n",
      c.tcp[1], c.udp[1]);
}

}  // namespace usk::proc
