// Names and connections of unix sockets.
#include <algorithm>

#include "fs/vfs/inode.h"
#include "fs/vfs/saving.h"
#include "net/unix/endpoint.h"
#include "net/unix/in_flight.h"

namespace usk {
namespace {

constexpr PollMask kAll =
    POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR | POLLHUP | POLLRDHUP;

}  // namespace

USK_SAVED(UnixEndpoint, "net/unix/endpoint")

OrFailure<void> UnixEndpoint::restored(state::Restored&) {
  Lock lock(mu_);
  if (!names_) return fail("a socket of no namespace");
  if (type_ != SOCK_STREAM && type_ != SOCK_DGRAM && type_ != SOCK_SEQPACKET) {
    return fail("a socket of another type");
  }
  for (const Ref<UnixEndpoint>& waiting : accept_queue_) {
    if (!waiting) return fail("a connection of nobody");
  }
  for (const UnixMessage& m : messages_) {
    if (m.begin > m.data.size() || !m.sender) return fail("a message that cannot be");
    for (const Ref<File>& file : m.files) {
      if (!file) return fail("a message with no file");
    }
    if (!in_flight::reserve(m.files.size())) return fail("too many files in flight");
    in_flight::queued(m.files);
  }
  return {};
}

UnixEndpoint::UnixEndpoint(int type, Ref<UnixNamespace> names)
    : type_(type), names_(std::move(names)) {}

Result<void> UnixEndpoint::check_unbound() {
  Lock lock(mu_);
  if (!address_.empty()) return Err(EINVAL);
  return {};
}

// `name` is sun_path: with its terminating zero, or an abstract name with its leading one.
Result<void> UnixEndpoint::set_address(std::string name, Path path) {
  const sa_family_t family = AF_UNIX;
  Lock lock(mu_);
  if (!address_.empty() || closed_) return Err(EINVAL);
  address_.bytes.assign(reinterpret_cast<const char*>(&family), sizeof family);
  address_.bytes += name;
  bound_path_ = std::move(path);
  return {};
}

Result<void> UnixEndpoint::bind_abstract(std::string name) {
  TRY(check_unbound());
  TRY(names_->add(type_, name, Ref<UnixEndpoint>::share(this)));
  auto set = set_address('\0' + name, {});
  if (!set) names_->remove(type_, name);
  return set;
}

Result<void> UnixEndpoint::autobind() {
  if (!check_unbound()) return {};
  const std::string name = TRY(names_->add_any(type_, Ref<UnixEndpoint>::share(this)));
  if (!set_address('\0' + name, {})) names_->remove(type_, name);  // Another thread was quicker.
  return {};
}

Result<void> UnixEndpoint::bind_path(SocketNames& names, std::string_view path) {
  TRY(check_unbound());
  Path place = TRY(names.make_socket_node(path));
  place.inode().attach(Ref<RefCounted>(Ref<UnixEndpoint>::share(this)));
  auto set = set_address(std::string(path) + '\0', place);
  if (!set) place.inode().detach(this);
  return set;
}

void UnixEndpoint::unbind() {
  Path path;
  std::string bytes;
  {
    Lock lock(mu_);
    if (named_by_listener_) return;
    path = std::move(bound_path_);
    bound_path_ = Path();
    bytes = address_.bytes;
  }
  if (path) {
    path.inode().detach(this);
  } else if (bytes.size() > sizeof(sa_family_t)) {
    names_->remove(type_, bytes.substr(sizeof(sa_family_t) + 1));
  }
}

SocketAddress UnixEndpoint::address() {
  Lock lock(mu_);
  return address_;
}

Result<SocketAddress> UnixEndpoint::peer_address() {
  Ref<UnixEndpoint> peer;
  {
    Lock lock(mu_);
    peer = peer_;
  }
  if (!peer) return Err(ENOTCONN);
  return peer->address();
}

void UnixEndpoint::set_connected(Ref<UnixEndpoint> peer, Peer creds) {
  Lock lock(mu_);
  peer_ = std::move(peer);
  peer_creds_ = std::move(creds);
  state_ = State::kConnected;
}

void UnixEndpoint::pair(UnixEndpoint& a, UnixEndpoint& b, const SocketCreds& creds,
                        const std::vector<Gid>& groups) {
  const Peer self{creds, groups, true};
  a.set_connected(Ref<UnixEndpoint>::share(&b), self);
  b.set_connected(Ref<UnixEndpoint>::share(&a), self);
}

Result<void> UnixEndpoint::listen(int backlog, const SocketCreds& creds, std::vector<Gid> groups) {
  constexpr unsigned kMaxBacklog = 4096;  // Linux: net.core.somaxconn
  if (!is_connected_type()) return Err(EOPNOTSUPP);
  std::vector<Ref<UnixEndpoint>> waiters;
  {
    Lock lock(mu_);
    if (address_.empty()) return Err(EINVAL);
    if (state_ != State::kUnconnected && state_ != State::kListening) return Err(EINVAL);
    const size_t before = std::exchange(backlog_, std::min(unsigned(backlog), kMaxBacklog));
    if (backlog_ > before) waiters.swap(waiters_);
    state_ = State::kListening;
    peer_creds_ = {creds, std::move(groups), true};
  }
  wake_writers(waiters);
  return {};
}

bool UnixEndpoint::is_listening() {
  Lock lock(mu_);
  return state_ == State::kListening;
}

bool UnixEndpoint::is_connected() {
  Lock lock(mu_);
  return bool(peer_);
}

Ref<UnixEndpoint> UnixEndpoint::peer() {
  Lock lock(mu_);
  return peer_;
}

Result<void> UnixEndpoint::begin_connect() {
  Lock lock(mu_);
  switch (state_) {
    case State::kUnconnected: state_ = State::kConnecting; return {};
    case State::kConnecting: return Err(EALREADY);
    case State::kConnected: return Err(EISCONN);
    case State::kListening: return Err(EINVAL);
  }
  return Err(EINVAL);
}

Result<void> UnixEndpoint::connect_stream(UnixEndpoint& listener, const SocketCreds& creds,
                                          std::vector<Gid> groups) {
  if (options_.flag(SO_PASSCRED)) TRY(autobind());
  TRY(begin_connect());
  auto server = make_ref<UnixEndpoint>(type_, names_);
  server->set_connected(Ref<UnixEndpoint>::share(this), {creds, std::move(groups), true});
  server->show_as(listener.address());
  if (auto queued = listener.enqueue_connection(server, *this); !queued) {
    server->forget_peer(*this);
    Lock lock(mu_);
    state_ = State::kUnconnected;
    return queued;
  }
  // From here on the server's end may be accepted and written to: what arrives waits.
  set_connected(server, listener.peer_creds());
  queue_.wake(POLLOUT | POLLWRNORM);
  return {};
}

Result<void> UnixEndpoint::enqueue_connection(Ref<UnixEndpoint> server, UnixEndpoint& client) {
  {
    Lock lock(mu_);
    if (closed_ || state_ != State::kListening || (shutdown_ & kNoReceive)) {
      return Err(ECONNREFUSED);
    }
    if (accept_queue_.size() > backlog_) {
      wait_for_room_locked(client);
      return Err(EAGAIN);
    }
    accept_queue_.push_back(std::move(server));
  }
  queue_.wake(POLLIN | POLLRDNORM);
  return {};
}

Result<void> UnixEndpoint::connect_datagram(Ref<UnixEndpoint> to) {
  if (to) {
    Lock lock(to->mu_);
    if (to->closed_) return Err(ECONNREFUSED);
    if (to->peer_ && to->peer_.get() != this) return Err(EPERM);
  }
  Ref<UnixEndpoint> dropped;
  {
    Lock lock(mu_);
    state_ = to ? State::kConnected : State::kUnconnected;
    dropped = std::exchange(peer_, std::move(to));
  }
  queue_.wake(POLLOUT | POLLWRNORM);
  return {};
}

Result<Ref<UnixEndpoint>> UnixEndpoint::accept() {
  if (!is_connected_type()) return Err(EOPNOTSUPP);
  Ref<UnixEndpoint> server;
  std::vector<Ref<UnixEndpoint>> waiters;
  {
    Lock lock(mu_);
    if (state_ != State::kListening || (shutdown_ & kNoReceive)) return Err(EINVAL);
    if (accept_queue_.empty()) return Err(EAGAIN);
    server = std::move(accept_queue_.front());
    accept_queue_.pop_front();
    waiters.swap(waiters_);
  }
  wake_writers(waiters);
  return server;
}

void UnixEndpoint::wait_for_room_locked(UnixEndpoint& waiter) {
  auto same = [&](const Ref<UnixEndpoint>& w) { return w.get() == &waiter; };
  if (std::ranges::any_of(waiters_, same)) return;
  waiters_.push_back(Ref<UnixEndpoint>::share(&waiter));
}

void UnixEndpoint::wake_writers(const std::vector<Ref<UnixEndpoint>>& endpoints) {
  for (auto& e : endpoints) e->queue_.wake(POLLOUT | POLLWRNORM | POLLWRBAND);
}

// The server's end of a connection has the name of its listener.
void UnixEndpoint::show_as(SocketAddress address) {
  Lock lock(mu_);
  address_ = std::move(address);
  named_by_listener_ = true;
}

void UnixEndpoint::forget_peer(UnixEndpoint& peer) {
  Ref<UnixEndpoint> dropped;
  Lock lock(mu_);
  if (peer_.get() != &peer) return;
  dropped = std::move(peer_);
  state_ = State::kUnconnected;
}

void UnixEndpoint::close_with(bool reset_peer) {
  Ref<UnixEndpoint> peer;
  std::deque<Ref<UnixEndpoint>> unaccepted;
  std::vector<Ref<UnixEndpoint>> waiters;
  bool unread;
  {
    Lock lock(mu_);
    if (std::exchange(closed_, true)) return;
    unread = !messages_.empty();
    shutdown_ = kNoReceive | kNoSend;
    peer = std::move(peer_);
    unaccepted.swap(accept_queue_);
    waiters.swap(waiters_);
  }
  unbind();
  if (peer && is_connected_type()) peer->peer_closed(*this, unread || reset_peer);
  for (auto& server : unaccepted) server->close_with(true);
  drop_queue();
  wake_writers(waiters);
}

void UnixEndpoint::peer_closed(UnixEndpoint& peer, bool reset) {
  {
    Lock lock(mu_);
    if (peer_.get() != &peer) return;
    shutdown_ |= kNoReceive | kNoSend;
    if (reset) error_ = ECONNRESET;
  }
  queue_.wake(kAll);
}

Result<void> UnixEndpoint::shutdown(int how) {
  if (how < SHUT_RD || how > SHUT_RDWR) return Err(EINVAL);
  const auto bits = uint8_t(how + 1);
  static_assert(SHUT_RD + 1 == kNoReceive && SHUT_WR + 1 == kNoSend);
  Ref<UnixEndpoint> peer;
  {
    Lock lock(mu_);
    peer = peer_;
  }
  shut(bits);
  if (peer && is_connected_type()) {
    peer->shut(uint8_t((bits & kNoReceive ? kNoSend : 0) | (bits & kNoSend ? kNoReceive : 0)));
  }
  return {};
}

void UnixEndpoint::shut(uint8_t bits) {
  {
    Lock lock(mu_);
    shutdown_ |= bits;
  }
  queue_.wake(kAll & ~PollMask(POLLERR));
}

UnixEndpoint::Peer UnixEndpoint::peer_creds() {
  Lock lock(mu_);
  return peer_creds_;
}

int UnixEndpoint::take_error() {
  Lock lock(mu_);
  return std::exchange(error_, 0);
}

}  // namespace usk
