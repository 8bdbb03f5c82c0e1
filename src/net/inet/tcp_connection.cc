// How a connection begins and ends, and what is seen of it.
#include "net/inet/tcp_connection.h"

#include <netinet/tcp.h>

#include "state/saved.h"

namespace usk {

USK_SAVED(SocketQueue, "net/inet/socket_queue")
USK_SAVED(TcpConnection, "net/inet/tcp_connection")

OrFailure<void> TcpConnection::restored(state::Restored&) {
  Lock lock(mu_);
  if (!network_) return fail("a connection of no network");
  for (size_t i = 0; i < (self_ ? 1u : 2u); ++i) {
    const End& e = ends_[i];
    if (!e.own.queue || !e.in.is_whole()) return fail("a connection with an end that cannot be");
    if (e.urgent && *e.urgent - e.read > e.in.size()) return fail("a mark beyond the data");
    if (e.own.binding && !e.own.binding->has_network()) return fail("a port that waits");
    if (e.own.send_buffer < 0 || e.own.receive_buffer < 0) return fail("a buffer that cannot be");
  }
  return {};
}

TcpConnection::TcpConnection(Ref<InetNetwork> network, Side client, Side server)
    : network_(std::move(network)) {
  ends_[kClient].own = std::move(client);
  ends_[kServer].own = std::move(server);
}

TcpConnection::TcpConnection(Ref<InetNetwork> network, Side both)
    : network_(std::move(network)), self_(true), established_(true) {
  ends_[kClient].own = std::move(both);
}

Result<void> TcpConnection::charge() {
  constexpr size_t kBesides = 512;  // Queues and ports of the two ends.
  Lock lock(mu_);
  if (!memory_.set(sizeof *this + kBesides)) return Err(ENOBUFS);
  return {};
}

void TcpConnection::establish() {
  Ref<SocketQueue> client;
  {
    Lock lock(mu_);
    established_ = true;
    client = end(kClient).own.queue;
  }
  ++network_->counts.passive_opens;
  client->queue.wake(kWritable);
}

void TcpConnection::refuse() {
  Ref<SocketQueue> client;
  {
    Lock lock(mu_);
    End& e = end(kClient);
    e.aborted = true;
    e.error = ECONNREFUSED;
    client = e.own.queue;
  }
  ++network_->counts.failed_attempts;
  client->queue.wake(kFailed);
}

bool TcpConnection::is_established() {
  Lock lock(mu_);
  return established_;
}

// A RST arrives at `side`.
void TcpConnection::reset_locked(int side) {
  End& e = end(side);
  End& p = end(peer_of(side));
  if (e.aborted) return;
  e.error = p.fin && !e.fin ? EPIPE : ECONNRESET;
  e.aborted = true;
  ++network_->counts.resets;
}

// `side` says that it sends no more. Who said so first keeps the port for a while once both have.
void TcpConnection::finish_locked(int side) {
  End& e = end(side);
  End& p = end(peer_of(side));
  if (e.fin) return;
  e.fin = true;
  if (!p.fin || self_) {
    e.fin_first = true;
    return;
  }
  End& first = p.fin_first ? p : e;
  network_->tcp.wait(std::move(first.own.binding));
  if (!e.open) e.own.binding.reset();
}

Result<void> TcpConnection::shutdown(int side, int how) {
  Ref<SocketQueue> own, other;
  {
    Lock lock(mu_);
    if (state_locked(side) == TCP_CLOSE) return Err(ENOTCONN);
    End& e = end(side);
    if (how != SHUT_WR) e.shut_read = true;
    if (how != SHUT_RD) finish_locked(side);
    own = e.own.queue;
    other = end(peer_of(side)).own.queue;
  }
  own->queue.wake(kHungUp);
  if (how != SHUT_RD) other->queue.wake(kHungUp);
  return {};
}

void TcpConnection::close(int side, bool abort) {
  Ref<SocketQueue> other;
  Ref<Binding> unused;
  bool reset = false;
  {
    Lock lock(mu_);
    End& e = end(side);
    if (!e.open) return;
    e.open = false;
    reset = abort || !e.in.empty();
    const int peer = peer_of(side);
    if (!established_ || e.aborted || self_) {
      e.aborted = true;
    } else if (reset) {
      if (state_locked(peer) != TCP_CLOSE) reset_locked(peer);
      e.aborted = true;
    } else {
      finish_locked(side);
    }
    e.in.clear();
    e.shut_read = true;
    // An end without a socket keeps its port until the other one has finished, too.
    if (e.aborted || end(peer).fin) unused = std::move(e.own.binding);
    other = end(peer).own.queue;
  }
  other->queue.wake(reset ? kFailed : kHungUp);
}

int TcpConnection::state_locked(int side) {
  const End& e = end(side);
  const End& p = end(peer_of(side));
  if (e.aborted) return TCP_CLOSE;
  if (!established_) return side == kClient ? TCP_SYN_SENT : TCP_SYN_RECV;
  if (e.fin && p.fin) return TCP_CLOSE;  // One of them waits in the table of ports.
  if (e.fin) return TCP_FIN_WAIT2;
  return p.fin ? TCP_CLOSE_WAIT : TCP_ESTABLISHED;
}

PollMask TcpConnection::poll(int side, size_t low_water) {
  Lock lock(mu_);
  const End& e = end(side);
  const End& p = end(peer_of(side));
  const int state = state_locked(side);
  const bool no_reading = e.shut_read || p.fin || e.aborted || state == TCP_CLOSE;
  const bool no_writing = e.fin || e.aborted;
  PollMask mask = 0;
  if ((no_reading && no_writing) || state == TCP_CLOSE) mask |= POLLHUP;
  if (no_reading) mask |= kReadable | POLLRDHUP;
  if (state != TCP_SYN_SENT) {
    const bool skips = e.urgent && *e.urgent == e.read && !e.own.urgent_inline;
    if (e.in.size() >= low_water + skips) mask |= kReadable;
    if (no_writing || is_writable_locked(side)) mask |= kWritable;
    if (e.urgent && !e.urgent_read) mask |= POLLPRI;
  }
  if (e.error) mask |= POLLERR;
  return mask;
}

int TcpConnection::take_error(int side) {
  Lock lock(mu_);
  return std::exchange(end(side).error, 0);
}

IpPort TcpConnection::address(int side) {
  Lock lock(mu_);
  return end(side).own.address;
}

Ref<SocketQueue> TcpConnection::queue(int side) {
  Lock lock(mu_);
  return end(side).own.queue;
}

Ref<Binding> TcpConnection::take_binding(int side) {
  Lock lock(mu_);
  return std::move(end(side).own.binding);
}

void TcpConnection::set_buffers(int side, int send, int receive, bool urgent_inline) {
  Ref<SocketQueue> own, other;
  {
    Lock lock(mu_);
    End& e = end(side);
    e.own.send_buffer = send;
    e.own.receive_buffer = receive;
    e.own.urgent_inline = urgent_inline;
    own = e.own.queue;
    other = end(peer_of(side)).own.queue;
  }
  own->queue.wake(kWritable);
  other->queue.wake(kWritable);
}

TcpConnection::Facts TcpConnection::facts(int side) {
  Lock lock(mu_);
  const End& e = end(side);
  const End& p = end(peer_of(side));
  Facts f;
  f.state = state_locked(side);
  f.unread = e.in.size();
  const size_t window = size_t(p.own.receive_buffer) / 2;
  f.unsent = p.in.size() > window ? p.in.size() - window : 0;
  f.sent = e.sent;
  f.received = e.read + e.in.size();
  f.send_buffer = e.own.send_buffer;
  f.receive_buffer = e.own.receive_buffer;
  f.at_mark = e.urgent && *e.urgent == e.read;
  return f;
}

}  // namespace usk
