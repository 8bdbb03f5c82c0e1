// Sockets of TCP: ports, listening, data. Connecting is tcp_connect.cc.
#include "net/inet/tcp_socket.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "fs/vfs/saving.h"
#include "net/inet/device_ioctl.h"

namespace usk {

USK_SAVED(TcpSocket, "net/inet/tcp_socket")

OrFailure<void> TcpSocket::restored(state::Restored& r) {
  TRY(InetSocket::restored(r));
  Lock lock(mu_);
  if (type() != SOCK_STREAM) return fail("a socket of another type");
  if (connection_ && !connection_->has_side(side_)) {
    return fail("a side of a connection that cannot be");
  }
  if (listener_ && connection_) return fail("a socket that both listens and is connected");
  if (binding_ && !binding_->has_network()) return fail("a port that waits");
  if (listener_) {
    if (!listener_->binding()) return fail("a listener at no port");
    network_->tcp.set_receiver(*listener_->binding(), listener_.get());
  }
  return {};
}

TcpSocket::TcpSocket(Ref<InetNetwork> network, int flags, Ref<const Creds> creds, int domain)
    : InetSocket(std::move(network), flags, std::move(creds), domain, SOCK_STREAM, IPPROTO_TCP,
                 kSendBuffer, kReceiveBuffer) {}

Ref<TcpSocket> TcpSocket::make(Ref<InetNetwork> network, int flags, Ref<const Creds> creds,
                               int domain) {
  auto socket = make_ref<TcpSocket>(std::move(network), flags, std::move(creds), domain);
  socket->list();
  return socket;
}

TcpSocket::~TcpSocket() {
  unlist();
  Lock lock(mu_);
  if (listener_) listener_->close();
  if (connection_) connection_->close(side_, options_.lingers_not());
}

std::pair<Ref<TcpConnection>, int> TcpSocket::connection() {
  Lock lock(mu_);
  return {connection_, side_};
}

bool TcpSocket::is_listening() {
  Lock lock(mu_);
  return bool(listener_);
}

bool TcpSocket::is_bound() {
  Lock lock(mu_);
  return binding_ || listener_ || connection_;
}

Result<void> TcpSocket::bind(Caller& caller, SocketNames&, const SocketAddress& address) {
  const IpPort where = TRY(address_to_bind(caller, address));
  Lock lock(mu_);
  if (binding_ || listener_ || connection_) return Err(EINVAL);
  binding_ = TRY(network_->tcp.bind(wish(where)));
  return {};
}

Result<void> TcpSocket::listen(Caller&, int backlog) {
  const size_t most = size_t(network_->settings.somaxconn.load());
  const size_t wanted = std::min(size_t(unsigned(backlog)), most);
  // A server that has not called bind(2) is one all the same. Not under the lock: somebody is
  // asked.
  const bool binds = [&] {
    Lock lock(mu_);
    return !connection_ && !binding_;
  }();
  if (binds) TRY(ask_address(Category::kNetBind, true, {IpAddress::any(is_v6()), 0}));
  Lock lock(mu_);
  if (connection_) return Err(EINVAL);
  if (listener_) {
    listener_->set_backlog(wanted);
    return {};
  }
  if (!binding_) {
    binding_ = TRY(network_->tcp.bind(wish({IpAddress::any(is_v6()), 0})));
  }
  auto listener = make_ref<TcpListener>(queue_, binding_);
  listener->set_backlog(wanted);
  const int send = std::max(options_.send_buffer(), kTunedSendBuffer);
  listener->set_buffers(send, options_.receive_buffer(), options_.flag(SO_OOBINLINE));
  TRY(network_->tcp.listen(*binding_, *listener));
  listener_ = std::move(listener);
  return {};
}

void TcpSocket::adopt(Ref<TcpConnection> connection, const TcpSocket& listener) {
  options_.copy_from(listener.options_);
  options_.tune_send_buffer(kTunedSendBuffer);
  inet_options_.copy_from(listener.inet_options_);
  hop_limit_ = listener.hop_limit_.load();
  queue_ = connection->queue(TcpConnection::kServer);
  Lock lock(mu_);
  connection_ = std::move(connection);
  side_ = TcpConnection::kServer;
}

Result<Ref<Socket>> TcpSocket::accept(Caller& caller, int flags) {
  Ref<TcpListener> listener;
  {
    Lock lock(mu_);
    listener = listener_;
  }
  if (!listener) return Err(EINVAL);
  Ref<TcpConnection> connection = TRY(listener->accept());
  const IpPort peer = connection->address(TcpConnection::kClient);
  if (auto allowed = ask_address(Category::kNetAccept, true, peer); !allowed) {
    connection->close(TcpConnection::kServer, true);
    return std::unexpected(allowed.error());
  }
  auto socket =
      make_ref<TcpSocket>(network_, flags, Ref<const Creds>::share(&caller.creds()), domain());
  socket->adopt(std::move(connection), *this);
  socket->options_changed();
  socket->list();
  return Ref<Socket>(std::move(socket));
}

Result<SocketAddress> TcpSocket::local_address() {
  Lock lock(mu_);
  IpPort local{IpAddress::any(is_v6()), 0};
  if (connection_) {
    local = connection_->address(side_);
  } else if (binding_) {
    local = binding_->local;
  }
  return show_address(local, domain());
}

Result<SocketAddress> TcpSocket::peer_address() {
  auto [connection, side] = this->connection();
  if (!connection) return Err(ENOTCONN);
  const int state = connection->facts(side).state;
  if (state == TCP_CLOSE || state == TCP_SYN_SENT) return Err(ENOTCONN);
  return show_address(connection->address(connection->peer_of(side)), domain());
}

Result<void> TcpSocket::shutdown(int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return Err(EINVAL);
  Lock lock(mu_);
  if (listener_) {
    if (how != SHUT_WR) std::exchange(listener_, {})->close();
    return {};
  }
  if (!connection_) return Err(ENOTCONN);
  if (!connection_->is_established()) return disconnect_locked();
  return connection_->shutdown(side_, how);
}

Result<size_t> TcpSocket::send(Caller& caller, SocketNames& names, SendArgs& args) {
  auto [connection, side] = this->connection();
  if (!connection && (args.flags & MSG_FASTOPEN) && !args.to.empty()) {
    auto connected = connect(caller, names, args.to);
    if (!connected && !failed_with(connected, EINPROGRESS)) {
      return std::unexpected(connected.error());
    }
    std::tie(connection, side) = this->connection();
  }
  if (!connection) return Err(EPIPE);
  return connection->send(side, args.data, args.flags);
}

Result<Socket::Received> TcpSocket::receive(Caller&, IoOut& data, int flags) {
  if (flags & MSG_ERRQUEUE) return Err(EAGAIN);
  auto [connection, side] = this->connection();
  if (!connection) return Err(ENOTCONN);
  const bool waits = !nonblocking() && !(flags & MSG_DONTWAIT);
  return connection->receive(side, data, flags, waits ? size_t(options_.low_water()) : 1);
}

Result<size_t> TcpSocket::read(IoOut& dst, uint64_t&) {
  auto [connection, side] = this->connection();
  if (!connection) return Err(ENOTCONN);
  const size_t low = nonblocking() ? 1 : size_t(options_.low_water());
  return TRY(connection->receive(side, dst, 0, low)).bytes;
}

Result<size_t> TcpSocket::write(IoIn& src, uint64_t&) {
  auto [connection, side] = this->connection();
  if (!connection) return Err(EPIPE);
  return connection->send(side, src, 0);
}

PollMask TcpSocket::poll() {
  Lock lock(mu_);
  if (listener_) return listener_->facts().waiting > 0 ? kReadable : PollMask(0);
  if (connection_) return connection_->poll(side_, size_t(options_.low_water()));
  return POLLHUP | kWritable;
}

int TcpSocket::take_error() {
  auto [connection, side] = this->connection();
  return connection ? connection->take_error(side) : 0;
}

Result<int64_t> TcpSocket::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  if (cmd != SIOCINQ && cmd != SIOCOUTQ && cmd != SIOCATMARK && cmd != SIOCOUTQNSD) {
    return InetSocket::ioctl(caller, cmd, arg);
  }
  if (is_listening()) return Err(EINVAL);
  auto [connection, side] = this->connection();
  TcpConnection::Facts f;
  if (connection) f = connection->facts(side);
  int value = 0;
  if (cmd == SIOCINQ) value = int(f.unread);
  if (cmd == SIOCOUTQ || cmd == SIOCOUTQNSD) value = int(f.unsent);
  if (cmd == SIOCATMARK) value = f.at_mark;
  TRY(caller.put(arg, value));
  return 0;
}

InetSocket::Facts TcpSocket::facts() {
  Lock lock(mu_);
  Facts f;
  f.local = f.remote = {IpAddress::any(is_v6()), 0};
  f.state = TCP_CLOSE;
  if (binding_) f.local = binding_->local;
  if (listener_) {
    const auto waiting = listener_->facts();
    f.state = TCP_LISTEN;
    f.receive_queue = waiting.waiting;
    f.send_queue = waiting.backlog;
  } else if (connection_) {
    const auto c = connection_->facts(side_);
    f.local = connection_->address(side_);
    f.remote = connection_->address(connection_->peer_of(side_));
    f.state = c.state;
    f.receive_queue = c.unread;
    f.send_queue = c.unsent;
  }
  return f;
}

}  // namespace usk
