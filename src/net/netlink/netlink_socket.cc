#include "net/netlink/netlink_socket.h"

#include <linux/capability.h>
#include <linux/sock_diag.h>

#include "fs/vfs/saving.h"
#include "net/netlink/diag.h"
#include "net/netlink/route.h"
#include "net/netlink/socket_list.h"

namespace usk {
namespace {

SocketAddress shown(uint32_t port, uint32_t groups) {
  sockaddr_nl a{};
  a.nl_family = AF_NETLINK;
  a.nl_pid = port;
  a.nl_groups = groups;
  return {netlink::bytes_of(a)};
}

// EINVAL for none of this family.
Result<sockaddr_nl> parse(const SocketAddress& given) {
  sockaddr_nl a;
  if (given.bytes.size() < sizeof a || given.family() != AF_NETLINK) return Err(EINVAL);
  memcpy(&a, given.bytes.data(), sizeof a);
  return a;
}

}  // namespace

USK_SAVED(NetlinkSocket, "net/netlink/socket")

OrFailure<void> NetlinkSocket::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!network_ || !names_) return fail("a socket of no network");
  list_netlink_socket(*this, true);
  return {};
}

NetlinkSocket::NetlinkSocket(Ref<InetNetwork> network, Ref<UnixNamespace> names, int flags,
                             Ref<const Creds> creds, int type, int protocol)
    : Socket(socket_path(*creds), flags, creds, AF_NETLINK, type, protocol),
      network_(std::move(network)),
      names_(std::move(names)) {
  list_netlink_socket(*this, true);
}

NetlinkSocket::~NetlinkSocket() { list_netlink_socket(*this, false); }

Result<Ref<Socket>> NetlinkSocket::make(Caller& caller, Ref<InetNetwork> network,
                                        Ref<UnixNamespace> names, int type, int protocol,
                                        int flags) {
  if (type != SOCK_RAW && type != SOCK_DGRAM) return Err(ESOCKTNOSUPPORT);
  switch (protocol) {
    case NETLINK_ROUTE:
    case NETLINK_SOCK_DIAG:
    case NETLINK_KOBJECT_UEVENT: break;
    default: return Err(EPROTONOSUPPORT);
  }
  if (installed_guard && installed_guard->wants(Category::kNetLink)) {
    TRY(installed_guard->netlink(uint32_t(protocol)));
  }
  return Ref<Socket>(make_ref<NetlinkSocket>(std::move(network), std::move(names), flags,
                                             Ref<const Creds>::share(&caller.creds()), type,
                                             protocol));
}

uint32_t NetlinkSocket::port() {
  Lock lock(mu_);
  return port_;
}

// Port 0 asks for any: Linux gives the process's number to its first socket.
Result<void> NetlinkSocket::take_port(Caller& caller, uint32_t wanted) {
  if (wanted && !netlink_port_is_free(*this, wanted)) return Err(EADDRINUSE);
  if (wanted == 0) {
    wanted = uint32_t(caller.process_to_guest(caller.process()));
    for (uint32_t next = uint32_t(-4097); !netlink_port_is_free(*this, wanted); --next) {
      wanted = next;
    }
  }
  Lock lock(mu_);
  if (port_ == 0) port_ = wanted;
  return {};
}

Result<void> NetlinkSocket::bind(Caller& caller, SocketNames&, const SocketAddress& address) {
  const sockaddr_nl a = TRY(parse(address));
  const bool anybody = protocol() == NETLINK_KOBJECT_UEVENT || protocol() == NETLINK_ROUTE;
  if (a.nl_groups && !anybody && !network_->may_administer(caller.creds())) return Err(EPERM);
  const uint32_t before = port();
  if (before && a.nl_pid != before) return Err(EINVAL);
  if (!before) TRY(take_port(caller, a.nl_pid));
  Lock lock(mu_);
  groups_ = a.nl_groups;
  return {};
}

Result<void> NetlinkSocket::connect(Caller& caller, SocketNames&, const SocketAddress& address) {
  if (address.bytes.size() < sizeof(sa_family_t)) return Err(EINVAL);
  uint32_t to = 0;
  if (address.family() != AF_UNSPEC) {
    const sockaddr_nl a = TRY(parse(address));
    if ((a.nl_groups || a.nl_pid) && !network_->may_administer(caller.creds())) return Err(EPERM);
    to = a.nl_pid;
    if (port() == 0) TRY(take_port(caller, 0));
  }
  Lock lock(mu_);
  peer_ = to;
  return {};
}

Result<SocketAddress> NetlinkSocket::local_address() {
  Lock lock(mu_);
  return shown(port_, groups_);
}

Result<SocketAddress> NetlinkSocket::peer_address() {
  Lock lock(mu_);
  return shown(peer_, 0);
}

bool NetlinkSocket::has_switch(int option) {
  Lock lock(mu_);
  return switches_ >> option & 1;
}

Result<size_t> NetlinkSocket::send(Caller& caller, SocketNames&, SendArgs& args) {
  if (args.flags & MSG_OOB) return Err(EOPNOTSUPP);
  uint32_t to = 0, groups = 0;
  if (!args.to.empty()) {
    const sockaddr_nl a = TRY(parse(args.to));
    to = a.nl_pid, groups = a.nl_groups;
  } else {
    Lock lock(mu_);
    to = peer_;
  }
  if ((to || groups) && !network_->may_administer(caller.creds())) return Err(EPERM);
  if (port() == 0) TRY(take_port(caller, 0));
  if (to) return Err(ECONNREFUSED);  // Programs cannot write to each other.
  return ask_kernel(caller, args.data);
}

Result<size_t> NetlinkSocket::ask_kernel(Caller& caller, IoIn& data) {
  const size_t size = data.size();
  if (size > kMaxRequest) return Err(EMSGSIZE);
  Charge memory;
  if (!memory.set(size)) return Err(ENOBUFS);
  std::string bytes(size, '\0');
  if (TRY(data.take(std::as_writable_bytes(std::span(bytes)))) != size) return Err(EFAULT);
  std::string_view rest = bytes;
  while (rest.size() >= sizeof(nlmsghdr)) {
    nlmsghdr h;
    memcpy(&h, rest.data(), sizeof h);
    if (h.nlmsg_len < sizeof h || h.nlmsg_len > rest.size()) break;
    answer({h, rest.substr(sizeof h, h.nlmsg_len - sizeof h), caller.creds()});
    rest = rest.substr(std::min(netlink::aligned(h.nlmsg_len), rest.size()));
  }
  return size;
}

Result<void> NetlinkSocket::serve(const netlink::Request& request, netlink::Replies& replies) {
  if (request.header.nlmsg_type < NLMSG_MIN_TYPE) return {};
  switch (protocol()) {
    case NETLINK_ROUTE: return netlink::serve_route(*network_, request, replies);
    case NETLINK_SOCK_DIAG: return netlink::serve_diag(*network_, *names_, request, replies);
    default: return Err(ECONNREFUSED);
  }
}

void NetlinkSocket::answer(const netlink::Request& request) {
  const int flags = request.header.nlmsg_flags;
  if (!(flags & NLM_F_REQUEST)) return;
  // Linux: what has not even a family is passed over.
  if (protocol() == NETLINK_ROUTE && request.body.empty() && !(flags & NLM_F_ACK)) return;
  netlink::Replies replies(request.header, port());
  const bool is_dump = request.is_dump() && request.header.nlmsg_type >= NLMSG_MIN_TYPE;
  const auto served = serve(request, replies);
  if (!served) {
    const std::string why(has_switch(NETLINK_EXT_ACK) ? replies.why() : "");
    replies = netlink::Replies(request.header, port());
    replies.error(int(served.error()), request.body, !has_switch(NETLINK_CAP_ACK), why);
  } else if (is_dump) {
    replies.done();
  } else if (flags & NLM_F_ACK) {
    replies.error(0, {}, false);
  }
  {
    Lock lock(mu_);
    size_t waiting = 0;
    for (const Message& m : messages_) waiting += m.data.size();
    for (std::string& datagram : replies.take()) {
      Message m;
      waiting += datagram.size();
      if (waiting > kMaxWaiting || !m.memory.set(datagram.size() + sizeof m)) {
        error_ = ENOBUFS;
        break;
      }
      m.data = std::move(datagram);
      messages_.push_back(std::move(m));
    }
  }
  queue().wake(POLLIN | POLLRDNORM);
}

Result<Socket::Received> NetlinkSocket::receive_one(IoOut& data, int flags) {
  if (flags & MSG_OOB) return Err(EOPNOTSUPP);
  Message m;
  {
    Lock lock(mu_);
    if (error_) return Err(std::exchange(error_, 0));
    if (messages_.empty()) return Err(EAGAIN);
    if (flags & MSG_PEEK) {
      m.data = messages_.front().data;
    } else {
      m = std::move(messages_.front());
      messages_.pop_front();
    }
  }
  Received got;
  const size_t n = std::min(m.data.size(), data.size());
  if (TRY(data.put(std::as_bytes(std::span(m.data).first(n)))) < n) return Err(EFAULT);
  if (n < m.data.size()) got.flags |= MSG_TRUNC;
  got.bytes = flags & MSG_TRUNC ? m.data.size() : n;
  got.from = shown(0, 0);
  if (options_.flag(SO_PASSCRED)) got.control.creds = SocketCreds{0, 0, 0};
  return got;
}

Result<Socket::Received> NetlinkSocket::receive(Caller&, IoOut& data, int flags) {
  return receive_one(data, flags);
}

Result<size_t> NetlinkSocket::read(IoOut& dst, uint64_t&) { return TRY(receive_one(dst, 0)).bytes; }

Result<size_t> NetlinkSocket::write_by(Caller& caller, IoIn& src, uint64_t&) {
  if (port() == 0) TRY(take_port(caller, 0));
  return ask_kernel(caller, src);
}

PollMask NetlinkSocket::poll() {
  Lock lock(mu_);
  PollMask mask = POLLOUT | POLLWRNORM | POLLWRBAND;
  if (error_) mask |= POLLERR;
  if (!messages_.empty()) mask |= POLLIN | POLLRDNORM;
  return mask;
}

}  // namespace usk
