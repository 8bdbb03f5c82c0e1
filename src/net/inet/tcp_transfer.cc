// The bytes of a connection.
#include <netinet/tcp.h>

#include <algorithm>

#include "net/inet/tcp_connection.h"

namespace usk {

// Of what `side` has sent: the other side takes half of its buffer (the rest is for bookkeeping,
// as in Linux), what is beyond waits in this side's own.
size_t TcpConnection::capacity_locked(int side) {
  return size_t(end(side).own.send_buffer) + size_t(end(peer_of(side)).own.receive_buffer) / 2;
}

size_t TcpConnection::room_locked(int side) {
  const size_t used = end(peer_of(side)).in.size(), capacity = capacity_locked(side);
  return used < capacity ? capacity - used : 0;
}

// Linux: once a third of the send buffer is free.
bool TcpConnection::is_writable_locked(int side) {
  const size_t buffer = size_t(end(side).own.send_buffer);
  return room_locked(side) * 3 >= buffer;
}

Result<void> TcpConnection::may_send_locked(int side) {
  End& e = end(side);
  if (e.error) return Err(std::exchange(e.error, 0));
  if (e.fin || e.aborted) return Err(EPIPE);
  if (!established_) return Err(EAGAIN);
  return {};
}

Result<size_t> TcpConnection::send(int side, IoIn& data, int flags) {
  Ref<SocketQueue> other;
  Result<size_t> sent = 0;
  PollMask what = kReadable;
  {
    Lock lock(mu_);
    TRY(may_send_locked(side));
    End& e = end(side);
    End& p = end(peer_of(side));
    if (data.size() == 0) return 0;
    if (!p.open || (p.fin && p.shut_read)) {
      // Nobody is there to take it: it is sent, and a RST comes back.
      e.sent += data.size();
      reset_locked(side);
      other = e.own.queue;
      sent = data.size();
      what = kFailed;
    } else {
      const size_t room = room_locked(side);
      if (room == 0) return Err(EAGAIN);
      sent = p.in.append(data, room);
      if (!sent) return sent;
      e.sent += *sent;
      if ((flags & MSG_OOB) && *sent > 0) {
        p.urgent = p.read + p.in.size() - 1;
        p.urgent_read = false;
        what |= POLLPRI;
      }
      other = p.own.queue;
    }
  }
  network_->counts.bytes.fetch_add(*sent, std::memory_order_relaxed);
  network_->counts.segments.fetch_add(1, std::memory_order_relaxed);
  other->queue.wake(what);
  return sent;
}

// What reading from an empty queue gives: an error, or success at the end of the data.
Result<void> TcpConnection::may_receive_locked(int side) {
  End& e = end(side);
  if (!established_ && !e.aborted) return Err(EAGAIN);
  if (end(peer_of(side)).fin && established_) return {};
  if (e.error) return Err(std::exchange(e.error, 0));
  if (e.shut_read || e.aborted) return {};
  return Err(EAGAIN);
}

Result<Socket::Received> TcpConnection::receive_urgent_locked(int side, IoOut& data, int flags) {
  End& e = end(side);
  if (e.own.urgent_inline || !e.urgent || e.urgent_read) return Err(EINVAL);
  const char byte = e.in.at(size_t(*e.urgent - e.read));
  Socket::Received got;
  got.flags = MSG_OOB;
  if (data.size() == 0) {
    got.flags |= MSG_TRUNC;
    return got;
  }
  if (!(flags & MSG_TRUNC)) TRY(data.put_object(byte));
  got.bytes = 1;
  if (!(flags & MSG_PEEK)) e.urgent_read = true;
  return got;
}

// Copies up to the urgent byte, which a normal read passes over.
Result<size_t> TcpConnection::copy_locked(int side, IoOut& data, int flags) {
  End& e = end(side);
  size_t skip = 0;
  if (e.urgent && *e.urgent == e.read && !e.own.urgent_inline) skip = 1;
  size_t most = std::min(e.in.size() - skip, data.size());
  if (e.urgent && *e.urgent > e.read) most = std::min(most, size_t(*e.urgent - e.read));
  const bool peek = flags & MSG_PEEK;
  size_t copied = most;
  if (!(flags & MSG_TRUNC)) copied = TRY(e.in.copy(data, skip, most));
  if (peek) return copied;
  e.in.drop(skip + copied);
  e.read += skip + copied;
  if (e.urgent && *e.urgent < e.read) e.urgent.reset();
  return copied;
}

Result<Socket::Received> TcpConnection::receive(int side, IoOut& data, int flags,
                                                size_t low_water) {
  Socket::Received got;
  Ref<SocketQueue> writer;
  {
    Lock lock(mu_);
    if (flags & MSG_OOB) return receive_urgent_locked(side, data, flags);
    End& e = end(side);
    const size_t skip = e.urgent && *e.urgent == e.read && !e.own.urgent_inline;
    if (e.in.size() <= skip) {
      TRY(may_receive_locked(side));
      return got;
    }
    if (data.size() == 0) return got;
    const bool more_comes = !end(peer_of(side)).fin && !e.aborted && !e.shut_read;
    if (e.in.size() < std::min(low_water, data.size()) && more_comes) return Err(EAGAIN);
    const int peer = peer_of(side);
    const bool was_writable = is_writable_locked(peer);
    got.bytes = TRY(copy_locked(side, data, flags));
    if (!was_writable && is_writable_locked(peer)) writer = end(peer).own.queue;
  }
  if (writer) writer->queue.wake(kWritable);
  return got;
}

}  // namespace usk
