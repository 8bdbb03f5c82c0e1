// Connections that nobody has accepted yet: listen(2), accept(2).
#pragma once
#include <deque>

#include "net/inet/tcp_connection.h"

namespace usk {

// What stands behind a listening socket and its port. A connection that finds the queue full
// waits beside it (Linux: the client repeats its SYN) until there is room.
class TcpListener final : public RefCounted {
 public:
  TcpListener(Ref<SocketQueue> queue, Ref<Binding> binding)
      : queue_(std::move(queue)), binding_(std::move(binding)) {}
  explicit TcpListener(Blank) {}

  const Ref<SocketQueue>& queue() const { return queue_; }
  const Ref<Binding>& binding() const { return binding_; }
  void set_backlog(size_t backlog) EXCLUDES(mu_);
  // What the ends of new connections here have.
  void set_buffers(int send, int receive, bool urgent_inline) EXCLUDES(mu_);
  TcpConnection::Side new_side(const IpPort& local, const IpPort& remote) EXCLUDES(mu_);

  // ECONNREFUSED once it is closed.
  Result<void> offer(Ref<TcpConnection> connection) EXCLUDES(mu_);
  // EAGAIN; EINVAL once it is closed.
  Result<Ref<TcpConnection>> accept() EXCLUDES(mu_);
  // Resets the connections that wait.
  void close() EXCLUDES(mu_);
  struct Facts {
    size_t waiting = 0, backlog = 0;
  };
  Facts facts() EXCLUDES(mu_);

  USK_FIELDS(queue_, binding_, closed_, backlog_, ready_, late_, send_buffer_, receive_buffer_,
             urgent_inline_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  Ref<SocketQueue> queue_;
  Ref<Binding> binding_;
  Mutex<Rank::kFilePeer> mu_;
  bool closed_ GUARDED_BY(mu_) = false;
  size_t backlog_ GUARDED_BY(mu_) = 0;
  std::deque<Ref<TcpConnection>> ready_ GUARDED_BY(mu_);
  std::deque<Ref<TcpConnection>> late_ GUARDED_BY(mu_);  // Found no room.
  int send_buffer_ GUARDED_BY(mu_) = 0, receive_buffer_ GUARDED_BY(mu_) = 0;
  bool urgent_inline_ GUARDED_BY(mu_) = false;
};

}  // namespace usk
