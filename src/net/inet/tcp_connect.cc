// How a socket of TCP becomes connected, and stops being so: connect(2).
#include <netinet/tcp.h>

#include "net/inet/tcp_socket.h"

namespace usk {

TcpConnection::Side TcpSocket::side_locked() {
  TcpConnection::Side side;
  side.queue = queue_;
  side.binding = binding_;
  side.address = binding_->local;
  options_.tune_send_buffer(kTunedSendBuffer);
  side.send_buffer = options_.send_buffer();
  side.receive_buffer = options_.receive_buffer();
  side.urgent_inline = options_.flag(SO_OOBINLINE);
  return side;
}

// Makes the socket's port one end of a connection from `local` to `to`.
Result<void> TcpSocket::take_port_locked(const IpPort& local, const IpPort& to) {
  if (binding_) return network_->tcp.connect(*binding_, local, to, true);
  binding_ = TRY(network_->tcp.bind_to_connect(wish(local), to));
  return {};
}

Result<void> TcpSocket::start_connect_locked(const IpPort& to) {
  if (to.address.is_multicast()) return Err(ENETUNREACH);
  IpPort local{TRY(network_->source_for(to.address)), 0};
  if (binding_ && !binding_->local.address.is_any()) {
    if (binding_->local.address.is_v4() != to.address.is_v4()) return Err(EINVAL);
    local.address = binding_->local.address;
  }
  TRY(take_port_locked(local, to));
  ++network_->counts.active_opens;
  connecting_ = true;
  side_ = TcpConnection::kClient;
  const IpPort from = binding_->local;
  auto listener = ref_cast<TcpListener>(network_->tcp.find(to, from));
  if (!listener && from == to) {
    connection_ = make_ref<TcpConnection>(network_, side_locked());
    binding_.reset();
    return {};
  }
  TcpConnection::Side server;
  if (listener) {
    server = listener->new_side(to, from);
  } else {
    server.queue = make_ref<SocketQueue>();
    server.address = to;
  }
  connection_ = make_ref<TcpConnection>(network_, side_locked(), std::move(server));
  binding_.reset();
  if (auto charged = connection_->charge(); !charged) {
    drop_connection_locked();
    return charged;
  }
  if (!listener || !listener->offer(connection_)) connection_->refuse();
  return {};
}

// Says how connecting went, once that is known. EAGAIN before.
Result<void> TcpSocket::continue_connect_locked() {
  if (connection_->is_established()) {
    connecting_ = false;
    return {};
  }
  const auto facts = connection_->facts(side_);
  if (facts.state != TCP_CLOSE) return Err(EAGAIN);
  const int error = connection_->take_error(side_);
  drop_connection_locked();
  return Err(error ? error : ECONNABORTED);
}

// A port that bind(2) gave is the socket's again.
void TcpSocket::drop_connection_locked() {
  connecting_ = false;
  Ref<Binding> binding = connection_->take_binding(side_);
  connection_->close(side_, true);
  connection_.reset();
  if (!binding || !binding->by_name) return;
  const IpPort local = binding->local;
  if (network_->tcp.connect(*binding, local, {}, false)) binding_ = std::move(binding);
}

Result<void> TcpSocket::disconnect_locked() {
  if (listener_) std::exchange(listener_, {})->close();
  if (connection_) drop_connection_locked();
  return {};
}

Result<void> TcpSocket::connect(Caller&, SocketNames&, const SocketAddress& address) {
  if (address.bytes.size() < sizeof(sa_family_t)) return Err(EINVAL);
  const bool waits = !nonblocking();
  Lock lock(mu_);
  if (address.family() == AF_UNSPEC) return disconnect_locked();
  if (listener_ || (connection_ && !connecting_)) return Err(EISCONN);
  if (connection_) {
    auto done = continue_connect_locked();
    return failed_with(done, EAGAIN) && !waits ? Err(EALREADY) : done;
  }
  const IpPort to = TRY(destination(address, false));
  TRY(ask_address(Category::kNetConnect, true, to));
  TRY(start_connect_locked(to));
  // Linux: who does not wait is told later, even if it is done.
  if (!waits) return Err(EINPROGRESS);
  return continue_connect_locked();
}

}  // namespace usk
