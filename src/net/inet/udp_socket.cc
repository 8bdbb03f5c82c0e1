// Sockets of UDP: ports and what is told of them. Data is udp_transfer.cc.
#include "net/inet/udp_socket.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "fs/vfs/saving.h"

namespace usk {

USK_SAVED(UdpSocket, "net/inet/udp_socket")

OrFailure<void> UdpSocket::restored(state::Restored& r) {
  TRY(InetSocket::restored(r));
  Lock lock(mu_);
  if (type() != SOCK_DGRAM) return fail("a socket of another type");
  size_t used = 0;
  for (const Datagram& d : messages_) used += Datagram::cost(d.data.size());
  if (used != used_) return fail("a queue of another size");
  if (remote_.port != 0 && !binding_) return fail("a connected socket without a port");
  if (binding_ && !binding_->has_network()) return fail("a port that waits");
  if (binding_) network_->udp.set_receiver(*binding_, this);
  return {};
}

UdpSocket::UdpSocket(Ref<InetNetwork> network, int flags, Ref<const Creds> creds, int domain)
    : InetSocket(std::move(network), flags, std::move(creds), domain, SOCK_DGRAM, IPPROTO_UDP,
                 SocketOptions::kDefaultBuffer, SocketOptions::kDefaultBuffer),
      local_(IpAddress::any(domain == AF_INET6)) {}

Ref<UdpSocket> UdpSocket::make(Ref<InetNetwork> network, int flags, Ref<const Creds> creds,
                               int domain) {
  auto socket = make_ref<UdpSocket>(std::move(network), flags, std::move(creds), domain);
  socket->list();
  return socket;
}

UdpSocket::~UdpSocket() {
  unlist();
  Lock lock(mu_);
  if (binding_) network_->udp.set_receiver(*binding_, nullptr);
}

bool UdpSocket::is_bound() {
  Lock lock(mu_);
  return bool(binding_);
}

void UdpSocket::options_changed() {
  const bool reuse = options_.flag(SO_REUSEADDR), share = options_.flag(SO_REUSEPORT);
  Lock lock(mu_);
  if (binding_) network_->udp.set_reuse(*binding_, reuse, share);
}

Result<void> UdpSocket::take_port_locked(const IpPort& local) {
  binding_ = TRY(network_->udp.bind(wish(local)));
  network_->udp.set_receiver(*binding_, this);
  return {};
}

Result<void> UdpSocket::bind(Caller& caller, SocketNames&, const SocketAddress& address) {
  const IpPort where = TRY(address_to_bind(caller, address));
  Lock lock(mu_);
  if (binding_) return Err(EINVAL);
  TRY(take_port_locked(where));
  local_ = where.address;
  return {};
}

// Linux: the port is kept if bind(2) gave it, and what had been the address then.
Result<void> UdpSocket::disconnect_locked() {
  remote_ = {};
  if (!binding_) return {};
  if (!binding_->by_name) {
    network_->udp.set_receiver(*binding_, nullptr);
    binding_.reset();
    return {};
  }
  return network_->udp.connect(*binding_, {local_, 0}, {}, false);
}

Result<void> UdpSocket::connect(Caller&, SocketNames&, const SocketAddress& address) {
  if (address.bytes.size() < sizeof(sa_family_t)) return Err(EINVAL);
  if (address.family() == AF_UNSPEC) {
    Lock lock(mu_);
    return disconnect_locked();
  }
  const IpPort to = TRY(destination(address, true));
  TRY(ask_address(Category::kNetConnect, false, to));
  IpPort local{TRY(network_->source_for(to.address)), 0};
  Lock lock(mu_);
  if (!local_.is_any()) {
    if (local_.is_v4() != to.address.is_v4()) return Err(EINVAL);
    local.address = local_;
  }
  if (!binding_) {
    TRY(take_port_locked(local));
    binding_->by_name = false;
  }
  TRY(network_->udp.connect(*binding_, local, to, false));
  remote_ = to;
  error_ = 0;
  return {};
}

Result<SocketAddress> UdpSocket::local_address() {
  Lock lock(mu_);
  return show_address(binding_ ? binding_->local : IpPort{local_, 0}, domain());
}

Result<SocketAddress> UdpSocket::peer_address() {
  Lock lock(mu_);
  if (remote_.port == 0) return Err(ENOTCONN);
  return show_address(remote_, domain());
}

Result<void> UdpSocket::shutdown(int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return Err(EINVAL);
  {
    Lock lock(mu_);
    shutdown_ |= uint8_t(how + 1);
    if (remote_.port == 0) return Err(ENOTCONN);
  }
  queue_->queue.wake(kHungUp);
  return {};
}

int UdpSocket::take_error() {
  Lock lock(mu_);
  return std::exchange(error_, 0);
}

PollMask UdpSocket::poll() {
  Lock lock(mu_);
  PollMask mask = kWritable | POLLWRBAND;
  if (error_ || !errors_.empty()) mask |= POLLERR;
  if (shutdown_ & kNoReceive) mask |= kReadable | POLLRDHUP;
  if (shutdown_ == (kNoReceive | kNoSend)) mask |= POLLHUP;
  if (!messages_.empty()) mask |= kReadable;
  return mask;
}

Result<int64_t> UdpSocket::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  int value = 0;
  if (cmd == SIOCINQ) {
    Lock lock(mu_);
    value = messages_.empty() ? 0 : int(messages_.front().data.size());
  } else if (cmd != SIOCOUTQ) {
    return InetSocket::ioctl(caller, cmd, arg);
  }
  TRY(caller.put(arg, value));
  return 0;
}

InetSocket::Facts UdpSocket::facts() {
  Lock lock(mu_);
  Facts f;
  f.local = binding_ ? binding_->local : IpPort{local_, 0};
  f.remote = remote_.port ? remote_ : IpPort{IpAddress::any(is_v6()), 0};
  f.state = remote_.port ? TCP_ESTABLISHED : TCP_CLOSE;
  f.receive_queue = used_;
  f.drops = drops_;
  return f;
}

}  // namespace usk
