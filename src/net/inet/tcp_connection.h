// A TCP connection: both of its ends and what is on its way between them. tcp(7).
#pragma once
#include <array>
#include <optional>

#include "fs/vfs/socket.h"
#include "net/inet/byte_queue.h"
#include "net/inet/network.h"
#include "net/inet/socket_queue.h"

namespace usk {

// Both sides share this object and its lock, so that what one does the other sees at once: a send
// puts bytes where the other side reads them. What a wire would make of it (sequence numbers,
// windows, retransmission) does not exist; what programs see of TCP's states follows from which
// side has said its FIN, and whether there was a RST.
class TcpConnection final : public RefCounted {
 public:
  // What a side brings along.
  struct Side {
    Ref<SocketQueue> queue;
    Ref<Binding> binding;
    IpPort address;
    int send_buffer = 0, receive_buffer = 0;
    bool urgent_inline = false;  // SO_OOBINLINE
  };
  enum : int { kClient = 0, kServer = 1 };

  TcpConnection(Ref<InetNetwork> network, Side client, Side server);
  // Of a socket with itself: both directions are one.
  TcpConnection(Ref<InetNetwork> network, Side both);
  explicit TcpConnection(Blank) {}

  // Counts it itself among what the guest makes the kernel hold: one may wait to be accepted when
  // its client has gone. ENOBUFS.
  Result<void> charge() EXCLUDES(mu_);
  // The listener has room for it: the client learns of it. Until then it is being connected.
  void establish() EXCLUDES(mu_);
  // The listener went away first.
  void refuse() EXCLUDES(mu_);
  bool is_established() EXCLUDES(mu_);

  // EAGAIN, EPIPE, the connection's error, ENOBUFS.
  Result<size_t> send(int side, IoIn& data, int flags) EXCLUDES(mu_);
  Result<Socket::Received> receive(int side, IoOut& data, int flags, size_t low_water)
      EXCLUDES(mu_);
  Result<void> shutdown(int side, int how) EXCLUDES(mu_);
  // The last descriptor is gone; `abort`: with SO_LINGER of no time.
  void close(int side, bool abort) EXCLUDES(mu_);
  PollMask poll(int side, size_t low_water) EXCLUDES(mu_);
  int take_error(int side) EXCLUDES(mu_);

  IpPort address(int side) EXCLUDES(mu_);
  Ref<SocketQueue> queue(int side) EXCLUDES(mu_);
  // The port goes back to the socket.
  Ref<Binding> take_binding(int side) EXCLUDES(mu_);
  int peer_of(int side) const { return self_ ? side : 1 - side; }
  // Of a loaded one: whether a socket may be that side of it.
  bool has_side(int side) const { return side == kClient || (side == kServer && !self_); }
  // SO_SNDBUF, SO_RCVBUF, SO_OOBINLINE.
  void set_buffers(int side, int send, int receive, bool urgent_inline) EXCLUDES(mu_);

  // As tcp(7) and /proc/net/tcp count: TCP_ESTABLISHED and so on.
  struct Facts {
    int state = 0;
    size_t unread = 0;  // Bytes that wait for this side,
    size_t unsent = 0;  // and those it has sent that do not fit what the other side takes.
    uint64_t sent = 0, received = 0;
    int send_buffer = 0, receive_buffer = 0;
    bool at_mark = false;
  };
  Facts facts(int side) EXCLUDES(mu_);

  USK_FIELDS(network_, self_, established_, ends_, memory_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  struct End {
    Side own;
    ByteQueue in;      // What has come for it.
    bool open = true;  // A socket is behind it, or will be once it is accepted.
    bool fin = false;  // It sends no more.
    bool fin_first = false;
    bool shut_read = false;
    bool aborted = false;  // There was a RST.
    int error = 0;
    uint64_t sent = 0, read = 0;
    // The place in the stream of the byte that MSG_OOB sent, and whether it was read.
    std::optional<uint64_t> urgent;
    bool urgent_read = false;
    USK_FIELDS(own.queue, own.binding, own.address, own.send_buffer, own.receive_buffer,
               own.urgent_inline, in, open, fin, fin_first, shut_read, aborted, error, sent, read,
               urgent, urgent_read)
  };
  End& end(int side) REQUIRES(mu_) { return ends_[size_t(side)]; }
  size_t room_locked(int side) REQUIRES(mu_);
  size_t capacity_locked(int side) REQUIRES(mu_);
  bool is_writable_locked(int side) REQUIRES(mu_);
  int state_locked(int side) REQUIRES(mu_);
  void reset_locked(int side) REQUIRES(mu_);
  void finish_locked(int side) REQUIRES(mu_);
  Result<void> may_send_locked(int side) REQUIRES(mu_);
  Result<void> may_receive_locked(int side) REQUIRES(mu_);
  Result<size_t> copy_locked(int side, IoOut& data, int flags) REQUIRES(mu_);
  Result<Socket::Received> receive_urgent_locked(int side, IoOut& data, int flags) REQUIRES(mu_);

  Ref<InetNetwork> network_;
  bool self_ = false;
  Mutex<Rank::kFilePeer> mu_;
  bool established_ GUARDED_BY(mu_) = false;
  std::array<End, 2> ends_ GUARDED_BY(mu_);
  Charge memory_ GUARDED_BY(mu_);
};

}  // namespace usk
