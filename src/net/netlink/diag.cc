#include "net/netlink/diag.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <unordered_map>

#include "base/timer.h"
#include "fs/vfs/inode.h"
#include "net/inet/inet_socket.h"
#include "net/unix/socket_list.h"

namespace usk::netlink {
namespace {

uint32_t owner_of(File& file, const Creds& asker) {
  const auto attr = file.inode().getattr();
  return asker.user_ns->uid_out(attr ? attr->uid : 0);
}

void put_address(uint32_t (&out)[4], const IpAddress& a, bool v6) {
  memset(out, 0, sizeof out);
  if (v6) {
    memcpy(out, a.bytes.data(), 16);
  } else {
    memcpy(out, a.bytes.data() + 12, 4);
  }
}

inet_diag_msg head_of(const InetSocket::Facts& f, bool v6) {
  inet_diag_msg m{};
  m.idiag_family = v6 ? AF_INET6 : AF_INET;
  m.idiag_state = uint8_t(f.state);
  m.id.idiag_sport = htons(f.local.port);
  m.id.idiag_dport = htons(f.remote.port);
  put_address(m.id.idiag_src, f.local.address, v6);
  put_address(m.id.idiag_dst, f.remote.address, v6);
  m.idiag_rqueue = uint32_t(f.receive_queue);
  m.idiag_wqueue = uint32_t(f.send_queue);
  return m;
}

// What a request asks beyond the addresses.
void put_extras(InetSocket& socket, uint8_t wanted, Replies& replies) {
  auto wants = [&](int extension) { return wanted >> (extension - 1) & 1; };
  auto option = [&](int level, int name) { return socket.plain_option(level, name); };
  if (wants(INET_DIAG_INFO) && socket.type() == SOCK_STREAM) {
    replies.attribute(INET_DIAG_INFO, option(IPPROTO_TCP, TCP_INFO));
  }
  if (wants(INET_DIAG_CONG) && socket.type() == SOCK_STREAM) {
    const std::string name = option(IPPROTO_TCP, TCP_CONGESTION);
    replies.text(INET_DIAG_CONG, name.c_str());
  }
  if (socket.is_v6()) {
    std::string only = option(IPPROTO_IPV6, IPV6_V6ONLY);
    replies.number(INET_DIAG_SKV6ONLY, uint8_t(!only.empty() && only[0]));
  }
}

void put_waiting(InetNetwork& network, bool v6, Replies& replies) {
  const int64_t now = timer_service().now(CLOCK_MONOTONIC);
  for (const auto& w : network.tcp.waiting()) {
    if (w.local.address.is_v4() == v6) continue;
    inet_diag_msg m = head_of({w.local, w.remote, TCP_TIME_WAIT, 0, 0, 0}, v6);
    m.idiag_timer = 3;
    m.idiag_expires = uint32_t(std::max<int64_t>(w.until - now, 0) / 1'000'000);
    replies.begin(SOCK_DIAG_BY_FAMILY, bytes_of(m));
  }
}

}  // namespace

Result<void> list_inet_sockets(InetNetwork& network, const Request& request, Replies& replies) {
  const auto asked = TRY(request.head<inet_diag_req_v2>());
  const int type = asked.sdiag_protocol == IPPROTO_TCP   ? SOCK_STREAM
                   : asked.sdiag_protocol == IPPROTO_UDP ? SOCK_DGRAM
                                                         : 0;
  if (type == 0) return Err(ENOENT);
  if (!request.is_dump()) return Err(ENOENT);  // Of a connection by its name: only lists.
  const bool v6 = asked.sdiag_family == AF_INET6;
  for (const Ref<InetSocket>& s : all_inet_sockets(network)) {
    if (s->type() != type || s->is_v6() != v6) continue;
    const InetSocket::Facts f = s->facts();
    if (!(asked.idiag_states >> f.state & 1)) continue;
    if (f.local.port == 0) continue;  // Linux: those without a port are in no table.
    inet_diag_msg m = head_of(f, v6);
    m.idiag_uid = owner_of(*s, request.creds);
    m.idiag_inode = uint32_t(s->inode().ino());
    const uint64_t cookie = s->id();
    memcpy(m.id.idiag_cookie, &cookie, sizeof cookie);
    replies.begin(SOCK_DIAG_BY_FAMILY, bytes_of(m));
    put_extras(*s, asked.idiag_ext, replies);
  }
  if (type == SOCK_STREAM && (asked.idiag_states >> TCP_TIME_WAIT & 1)) {
    put_waiting(network, v6, replies);
  }
  return {};
}

Result<void> list_unix_sockets(UnixNamespace& names, const Request& request, Replies& replies) {
  const auto asked = TRY(request.head<unix_diag_req>());
  if (!request.is_dump() && asked.udiag_ino == 0) return Err(EINVAL);
  const auto all = all_unix_sockets(names);
  std::unordered_map<const UnixEndpoint*, uint32_t> inodes;
  for (const auto& s : all) inodes[&s->endpoint()] = uint32_t(s->inode().ino());
  bool found = false;
  for (const Ref<UnixSocket>& s : all) {
    UnixEndpoint& e = s->endpoint();
    const bool listening = e.is_listening();
    const int state = listening ? TCP_LISTEN : e.is_connected() ? TCP_ESTABLISHED : TCP_CLOSE;
    const uint32_t ino = uint32_t(s->inode().ino());
    if (request.is_dump() ? !(asked.udiag_states >> state & 1) : ino != asked.udiag_ino) continue;
    found = true;
    unix_diag_msg m{};
    m.udiag_family = AF_UNIX;
    m.udiag_type = uint8_t(s->type());
    m.udiag_state = uint8_t(state);
    m.udiag_ino = ino;
    const uint64_t cookie = s->id();
    memcpy(m.udiag_cookie, &cookie, sizeof cookie);
    replies.begin(SOCK_DIAG_BY_FAMILY, bytes_of(m));
    const std::string name = e.address().bytes;
    if ((asked.udiag_show & UDIAG_SHOW_NAME) && name.size() > sizeof(sa_family_t)) {
      replies.attribute(UNIX_DIAG_NAME, name.substr(sizeof(sa_family_t)));
    }
    if (asked.udiag_show & UDIAG_SHOW_PEER) {
      const Ref<UnixEndpoint> peer = e.peer();
      if (auto it = inodes.find(peer.get()); peer && it != inodes.end()) {
        replies.number(UNIX_DIAG_PEER, it->second);
      }
    }
    if (asked.udiag_show & UDIAG_SHOW_RQLEN) {
      const auto unread = e.readable_bytes();
      replies.number(UNIX_DIAG_RQLEN,
                     unix_diag_rqlen{uint32_t(unread.value_or(0)), uint32_t(e.unsent_cost())});
    }
    replies.number(UNIX_DIAG_SHUTDOWN, uint8_t(0));
  }
  return found || request.is_dump() ? Result<void>() : Err(ENOENT);
}

Result<void> serve_diag(InetNetwork& network, UnixNamespace& names, const Request& request,
                        Replies& replies) {
  if (request.header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return Err(EINVAL);
  const auto asked = TRY(request.head<sock_diag_req>());
  switch (asked.sdiag_family) {
    case AF_INET:
    case AF_INET6: return list_inet_sockets(network, request, replies);
    case AF_UNIX: return list_unix_sockets(names, request, replies);
    default: return Err(asked.sdiag_family >= AF_MAX ? EINVAL : ENOENT);
  }
}

}  // namespace usk::netlink
