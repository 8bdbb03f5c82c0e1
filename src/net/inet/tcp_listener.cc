#include "net/inet/tcp_listener.h"

#include "state/saved.h"

namespace usk {

USK_SAVED(TcpListener, "net/inet/tcp_listener")

OrFailure<void> TcpListener::restored(state::Restored&) {
  Lock lock(mu_);
  if (!queue_ || !binding_ || !binding_->has_network()) return fail("a listener at no port");
  for (const auto* queue : {&ready_, &late_}) {
    for (const auto& c : *queue) {
      if (!c || !c->has_side(TcpConnection::kServer)) return fail("a connection of nobody");
    }
  }
  return {};
}

void TcpListener::set_backlog(size_t backlog) {
  Lock lock(mu_);
  backlog_ = backlog;
}

void TcpListener::set_buffers(int send, int receive, bool urgent_inline) {
  Lock lock(mu_);
  send_buffer_ = send;
  receive_buffer_ = receive;
  urgent_inline_ = urgent_inline;
}

TcpConnection::Side TcpListener::new_side(const IpPort& local, const IpPort& remote) {
  TcpConnection::Side side;
  side.queue = make_ref<SocketQueue>();
  side.address = local;
  side.binding = binding_->table().add_accepted(*binding_, local, remote);
  Lock lock(mu_);
  side.send_buffer = send_buffer_;
  side.receive_buffer = receive_buffer_;
  side.urgent_inline = urgent_inline_;
  return side;
}

Result<void> TcpListener::offer(Ref<TcpConnection> connection) {
  {
    Lock lock(mu_);
    if (closed_) return Err(ECONNREFUSED);
    if (ready_.size() > backlog_) {
      std::erase_if(late_, [](const auto& c) { return c->ref_count() == 1; });
      late_.push_back(std::move(connection));
      return {};
    }
    ready_.push_back(connection);
  }
  connection->establish();
  queue_->queue.wake(kReadable);
  return {};
}

Result<Ref<TcpConnection>> TcpListener::accept() {
  Ref<TcpConnection> got;
  std::deque<Ref<TcpConnection>> moved, abandoned;
  {
    Lock lock(mu_);
    if (closed_) return Err(EINVAL);
    if (ready_.empty()) return Err(EAGAIN);
    got = std::move(ready_.front());
    ready_.pop_front();
    while (!late_.empty() && ready_.size() <= backlog_) {
      Ref<TcpConnection> next = std::move(late_.front());
      late_.pop_front();
      // Nobody but the queue holds one whose client has gone.
      if (next->ref_count() == 1) {
        abandoned.push_back(std::move(next));
        continue;
      }
      ready_.push_back(next);
      moved.push_back(std::move(next));
    }
  }
  for (auto& connection : moved) connection->establish();
  if (!moved.empty()) queue_->queue.wake(kReadable);
  return got;
}

void TcpListener::close() {
  std::deque<Ref<TcpConnection>> ready, late;
  {
    Lock lock(mu_);
    closed_ = true;
    ready.swap(ready_);
    late.swap(late_);
  }
  binding_->table().stop_listening(*binding_);
  for (auto& connection : ready) connection->close(TcpConnection::kServer, true);
  for (auto& connection : late) connection->refuse();
  queue_->queue.wake(kHungUp);
}

TcpListener::Facts TcpListener::facts() {
  Lock lock(mu_);
  return {ready_.size(), backlog_};
}

}  // namespace usk
