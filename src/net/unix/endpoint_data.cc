// Sending and receiving on unix sockets.
#include <algorithm>

#include "net/unix/endpoint.h"
#include "net/unix/in_flight.h"

namespace usk {
namespace {

// A stream's bytes go in messages of at most this.
constexpr size_t kChunk = 32 << 10;
// Linux: what a packet may be shorter than the send buffer at most.
constexpr size_t kPacketOverhead = 32;
constexpr PollMask kWritable = POLLOUT | POLLWRNORM | POLLWRBAND;

}  // namespace

Result<Ref<UnixEndpoint>> UnixEndpoint::destination(Ref<UnixEndpoint> to) {
  Lock lock(mu_);
  if (!to) to = peer_;
  if (!to) return Err(ENOTCONN);
  if (shutdown_ & kNoSend) return Err(EPIPE);
  return to;
}

Result<size_t> UnixEndpoint::send(IoIn& data, Ref<UnixEndpoint> to, ControlData control,
                                  const SocketCreds& creds) {
  to = TRY(destination(std::move(to)));
  const size_t files = control.files.size();
  if (files > in_flight::kMaxPerMessage) return Err(EINVAL);
  TRY(in_flight::reserve(files));
  auto sent = type_ == SOCK_STREAM ? send_stream(data, *to, control, creds)
                                   : send_packet(data, *to, control, creds);
  // Where the files did not go, they are let go; where they did, the list is empty.
  in_flight::unreserve(control.files.size());
  release_files(std::move(control.files));
  return sent;
}

Result<UnixMessage> UnixEndpoint::make_message(IoIn& data, size_t size, const SocketCreds& creds) {
  UnixMessage message;
  if (!message.memory.set(UnixMessage::cost(size))) return Err(ENOBUFS);
  Result<size_t> taken = 0;
  message.data.resize_and_overwrite(size, [&](char* p, size_t n) {
    taken = data.take(std::as_writable_bytes(std::span(p, n)));
    return taken.value_or(0);
  });
  if (!taken) return Err(taken.error());
  message.creds = creds;
  message.from = address();
  message.sender = Ref<UnixEndpoint>::share(this);
  message.charged = UnixMessage::cost(size);
  return message;
}

Result<size_t> UnixEndpoint::send_stream(IoIn& data, UnixEndpoint& to, ControlData& control,
                                         const SocketCreds& creds) {
  size_t done = 0;
  while (data.size() > 0) {
    if (!send_buffer_has_room()) {
      if (done == 0) return Err(EAGAIN);
      break;
    }
    const size_t want = std::min(data.size(), kChunk);
    auto message = make_message(data, want, creds);
    if (!message) {
      if (done == 0) return Err(message.error());
      break;
    }
    const size_t size = message->size();
    if (size == 0) break;
    message->files = std::move(control.files);
    control.files.clear();
    auto delivered = deliver(std::move(*message), to);
    if (!delivered && done == 0) return Err(delivered.error());
    if (!delivered) break;
    done += size;
    if (size < want) break;
  }
  return done;
}

Result<size_t> UnixEndpoint::send_packet(IoIn& data, UnixEndpoint& to, ControlData& control,
                                         const SocketCreds& creds) {
  const size_t size = data.size();
  if (size > size_t(options_.send_buffer()) - kPacketOverhead) return Err(EMSGSIZE);
  if (!send_buffer_has_room()) return Err(EAGAIN);
  UnixMessage message = TRY(make_message(data, size, creds));
  if (message.size() != size) return Err(EFAULT);
  message.files = std::move(control.files);
  control.files.clear();
  TRY(deliver(std::move(message), to));
  return size;
}

Result<void> UnixEndpoint::deliver(UnixMessage message, UnixEndpoint& to) {
  send_used_ += message.charged;
  const size_t charged = message.charged;
  auto queued = to.enqueue(message, *this);
  if (!queued) {
    send_used_ -= charged;
    in_flight::unreserve(message.files.size());
    release_files(std::move(message.files));
    // Linux: a datagram socket whose destination is gone has none any more.
    if (type_ == SOCK_DGRAM && failed_with(queued, ECONNREFUSED)) forget_peer(to);
  }
  return queued;
}

Result<void> UnixEndpoint::enqueue(UnixMessage& message, UnixEndpoint& sender) {
  {
    Lock lock(mu_);
    if (type_ == SOCK_DGRAM) {
      if (closed_) return Err(ECONNREFUSED);
      if (peer_ && peer_.get() != &sender) return Err(EPERM);
      if (shutdown_ & kNoReceive) return Err(EPIPE);
      if (messages_.size() >= kMaxDatagrams && &sender != this) {
        wait_for_room_locked(sender);
        return Err(EAGAIN);
      }
    } else if (closed_ || (shutdown_ & kNoReceive)) {
      return Err(EPIPE);
    }
    const std::vector<Ref<File>> files = message.files;
    messages_.push_back(std::move(message));
    in_flight::queued(files);
  }
  queue_.wake(POLLIN | POLLRDNORM);
  return {};
}

Result<Socket::Received> UnixEndpoint::receive(IoOut& data, int flags) {
  if (flags & MSG_OOB) return Err(EOPNOTSUPP);
  if (type_ == SOCK_STREAM) return receive_stream(data, flags & MSG_PEEK);
  return receive_packet(data, flags);
}

Result<void> UnixEndpoint::nothing_to_receive_locked() {
  if (type_ == SOCK_STREAM && state_ != State::kConnected) return Err(EINVAL);
  if (type_ == SOCK_SEQPACKET && state_ != State::kConnected) return Err(ENOTCONN);
  if (error_) return Err(std::exchange(error_, 0));
  if (shutdown_ & kNoReceive) return {};
  return Err(EAGAIN);
}

Result<Socket::Received> UnixEndpoint::receive_stream(IoOut& data, bool peek) {
  Socket::Received got;
  std::vector<UnixMessage> done;
  Result<size_t> n;
  {
    Lock lock(mu_);
    if (messages_.empty() || state_ != State::kConnected) {
      TRY(nothing_to_receive_locked());
      return got;
    }
    if (data.size() == 0) return got;
    n = copy_stream_locked(data, peek, got, done);
  }
  finish(std::move(done));
  if (!n) return Err(n.error());
  got.bytes = *n;
  return got;
}

// Copies from one message after the other, up to one whose files or credentials the program has
// to see apart.
Result<size_t> UnixEndpoint::copy_stream_locked(IoOut& data, bool peek, Socket::Received& got,
                                                std::vector<UnixMessage>& done) {
  const bool tells_creds = options_.flag(SO_PASSCRED);
  size_t copied = 0;
  for (size_t i = 0; data.size() > 0 && (peek ? i < messages_.size() : !messages_.empty()); ++i) {
    UnixMessage& m = peek ? messages_[i] : messages_.front();
    if (copied > 0 && tells_creds && m.creds != *got.control.creds) break;
    const size_t want = std::min(m.size(), data.size());
    auto n = data.put(std::as_bytes(std::span(m.data).subspan(m.begin, want)));
    if (!n && copied == 0) return Err(n.error());
    if (!n) break;
    if (copied == 0) {
      got.control.creds = m.creds;
      got.from = m.from;
    }
    copied += *n;
    const bool has_files = !m.files.empty();
    if (has_files) {
      if (!peek) in_flight::taken(m.files);
      got.control.files = peek ? m.files : std::exchange(m.files, {});
    }
    if (!peek) {
      m.begin += *n;
      if (m.size() == 0) {
        done.push_back(std::move(m));
        messages_.pop_front();
      }
    }
    if (*n < want || has_files) break;
  }
  return copied;
}

// Gives back what received messages were charged, with no lock held.
void UnixEndpoint::finish(std::vector<UnixMessage> messages) {
  for (UnixMessage& m : messages) {
    m.sender->uncharge(m.charged);
    release_files(std::move(m.files));
  }
}

void UnixEndpoint::uncharge(size_t cost) {
  const auto buffer = size_t(options_.send_buffer());
  const size_t before = send_used_.fetch_sub(cost);
  // Linux: writable again when three quarters of the buffer are free.
  if ((before - cost) * 4 <= buffer || before >= buffer) queue_.wake(kWritable);
}

Result<UnixMessage> UnixEndpoint::take_packet(bool peek) {
  UnixMessage m;
  std::vector<Ref<UnixEndpoint>> waiters;
  {
    Lock lock(mu_);
    if (messages_.empty()) {
      TRY(nothing_to_receive_locked());
      return m;
    }
    UnixMessage& front = messages_.front();
    if (peek) {
      m.data = front.data;
      m.creds = front.creds;
      m.from = front.from;
      m.files = front.files;
    } else {
      in_flight::taken(front.files);
      m = std::move(front);
      messages_.pop_front();
      waiters.swap(waiters_);
    }
    // An end of data has no sender: tells it from an empty packet.
    if (peek) m.sender = Ref<UnixEndpoint>::share(this);
  }
  wake_writers(waiters);
  return m;
}

Result<Socket::Received> UnixEndpoint::receive_packet(IoOut& data, int flags) {
  const bool peek = flags & MSG_PEEK;
  Socket::Received got;
  UnixMessage m = TRY(take_packet(peek));
  if (!m.sender) return got;
  const size_t want = std::min(m.data.size(), data.size());
  // Linux: a packet that cannot be copied out is lost.
  auto n = data.put(std::as_bytes(std::span(m.data).first(want)));
  if (!peek) m.sender->uncharge(m.charged);
  if (!n || *n < want) {
    release_files(std::move(m.files));
    return Err(EFAULT);
  }
  if (want < m.data.size()) got.flags |= MSG_TRUNC;
  got.bytes = flags & MSG_TRUNC ? m.data.size() : want;
  got.from = std::move(m.from);
  got.control.creds = m.creds;
  got.control.files = std::move(m.files);
  return got;
}

PollMask UnixEndpoint::poll() {
  Ref<UnixEndpoint> peer;
  PollMask mask = 0;
  {
    Lock lock(mu_);
    if (error_) mask |= POLLERR;
    if (shutdown_ == (kNoReceive | kNoSend)) mask |= POLLHUP;
    if (shutdown_ & kNoReceive) mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (!messages_.empty() || !accept_queue_.empty()) mask |= POLLIN | POLLRDNORM;
    if (state_ == State::kListening) return mask;
    if (is_connected_type() && state_ != State::kConnected) mask |= POLLHUP;
    if (!is_connected_type()) peer = peer_;
  }
  if (unsent_cost() * 4 > size_t(options_.send_buffer())) return mask;
  if (peer && peer.get() != this) {
    Lock lock(peer->mu_);
    if (peer->peer_.get() != this && peer->messages_.size() >= kMaxDatagrams) {
      peer->wait_for_room_locked(*this);
      return mask;
    }
  }
  return mask | kWritable;
}

Result<size_t> UnixEndpoint::readable_bytes() {
  Lock lock(mu_);
  if (state_ == State::kListening) return Err(EINVAL);
  if (type_ == SOCK_DGRAM) return messages_.empty() ? 0 : messages_.front().size();
  size_t n = 0;
  for (const UnixMessage& m : messages_) n += m.size();
  return n;
}

std::vector<Ref<File>> UnixEndpoint::queued_files() {
  std::vector<Ref<File>> files;
  std::deque<Ref<UnixEndpoint>> unaccepted;
  {
    Lock lock(mu_);
    for (const UnixMessage& m : messages_) {
      files.insert(files.end(), m.files.begin(), m.files.end());
    }
    unaccepted = accept_queue_;
  }
  for (auto& server : unaccepted) {
    auto more = server->queued_files();
    files.insert(files.end(), more.begin(), more.end());
  }
  return files;
}

void UnixEndpoint::drop_queue() {
  std::deque<UnixMessage> messages;
  std::deque<Ref<UnixEndpoint>> unaccepted;
  {
    Lock lock(mu_);
    for (const UnixMessage& m : messages_) in_flight::taken(m.files);
    messages.swap(messages_);
    unaccepted = accept_queue_;
  }
  finish({std::make_move_iterator(messages.begin()), std::make_move_iterator(messages.end())});
  for (auto& server : unaccepted) server->drop_queue();
}

}  // namespace usk
