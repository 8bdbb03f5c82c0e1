// One end of a unix socket connection, or a datagram or listening socket: unix(7).
#pragma once
#include <deque>

#include "fs/vfs/socket_options.h"
#include "net/unix/message.h"
#include "net/unix/unix_namespace.h"

namespace usk {

// What stands behind a UnixSocket. Peers and queued messages refer to endpoints, not to files,
// so that a socket goes when its last descriptor does. Only one endpoint's lock is held at a
// time: what concerns two is done one after the other, in an order that leaves no gap (a queue
// is filled only under its owner's lock, which says whether anybody still reads it).
class UnixEndpoint final : public RefCounted {
 public:
  static constexpr size_t kMaxDatagrams = 512;  // Linux: net.unix.max_dgram_qlen

  UnixEndpoint(int type, Ref<UnixNamespace> names);
  explicit UnixEndpoint(Blank) : type_(0) {}

  int type() const { return type_; }
  bool is_connected_type() const { return type_ != SOCK_DGRAM; }
  SocketOptions& options() { return options_; }
  const Ref<UnixNamespace>& names() const { return names_; }
  WaitQueue& queue() { return queue_; }

  // Names (endpoint_connect.cc).
  Result<void> bind_abstract(std::string name) EXCLUDES(mu_);
  Result<void> autobind() EXCLUDES(mu_);
  Result<void> bind_path(SocketNames& names, std::string_view path) EXCLUDES(mu_);
  SocketAddress address() EXCLUDES(mu_);
  // ENOTCONN
  Result<SocketAddress> peer_address() EXCLUDES(mu_);

  // Connections.
  static void pair(UnixEndpoint& a, UnixEndpoint& b, const SocketCreds& creds,
                   const std::vector<Gid>& groups);
  Result<void> listen(int backlog, const SocketCreds& creds, std::vector<Gid> groups) EXCLUDES(mu_);
  // To a listener, or a datagram socket's default destination (null: none any more).
  Result<void> connect_stream(UnixEndpoint& listener, const SocketCreds& creds,
                              std::vector<Gid> groups) EXCLUDES(mu_);
  Result<void> connect_datagram(Ref<UnixEndpoint> to) EXCLUDES(mu_);
  Result<Ref<UnixEndpoint>> accept() EXCLUDES(mu_);
  bool is_listening() EXCLUDES(mu_);
  // The last descriptor is gone.
  void close() EXCLUDES(mu_) { close_with(false); }
  Result<void> shutdown(int how) EXCLUDES(mu_);
  struct Peer {
    SocketCreds creds;
    std::vector<Gid> groups;
    bool known = false;
    USK_FIELDS(creds, groups, known)
  };
  Peer peer_creds() EXCLUDES(mu_);
  int take_error() EXCLUDES(mu_);

  // Data (endpoint_data.cc). `to` is null for the connected peer.
  Result<size_t> send(IoIn& data, Ref<UnixEndpoint> to, ControlData control,
                      const SocketCreds& creds) EXCLUDES(mu_);
  Result<Socket::Received> receive(IoOut& data, int flags) EXCLUDES(mu_);
  bool is_connected() EXCLUDES(mu_);
  Ref<UnixEndpoint> peer() EXCLUDES(mu_);  // Null: none.
  PollMask poll() EXCLUDES(mu_);
  // SIOCINQ; EINVAL for a listener. SIOCOUTQ.
  Result<size_t> readable_bytes() EXCLUDES(mu_);
  size_t unsent_cost() const { return send_used_.load(std::memory_order_relaxed); }

  // A message from here was received or dropped.
  void uncharge(size_t cost);
  // Garbage collection: the files in the queue, and the end of the queue.
  std::vector<Ref<File>> queued_files() EXCLUDES(mu_);
  void drop_queue() EXCLUDES(mu_);

  USK_FIELDS(type_, names_, options_, state_, shutdown_, closed_, error_, address_,
             named_by_listener_, bound_path_, peer_, peer_creds_, messages_, accept_queue_,
             backlog_, send_used_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  enum class State : uint8_t { kUnconnected, kConnecting, kConnected, kListening };
  friend constexpr State saved_max(State) { return State::kListening; }
  enum : uint8_t { kNoReceive = 1, kNoSend = 2 };

  Result<void> check_unbound() EXCLUDES(mu_);
  Result<void> set_address(std::string name, Path path) EXCLUDES(mu_);
  Result<void> begin_connect() EXCLUDES(mu_);
  // Puts the server's end of a connection on this listener's queue.
  Result<void> enqueue_connection(Ref<UnixEndpoint> server, UnixEndpoint& client) EXCLUDES(mu_);
  void set_connected(Ref<UnixEndpoint> peer, Peer creds) EXCLUDES(mu_);
  void close_with(bool reset_peer) EXCLUDES(mu_);
  void unbind() EXCLUDES(mu_);
  void peer_closed(UnixEndpoint& peer, bool reset) EXCLUDES(mu_);
  void shut(uint8_t bits) EXCLUDES(mu_);
  void wait_for_room_locked(UnixEndpoint& waiter) REQUIRES(mu_);
  static void wake_writers(const std::vector<Ref<UnixEndpoint>>& endpoints);
  void show_as(SocketAddress address) EXCLUDES(mu_);
  void forget_peer(UnixEndpoint& peer) EXCLUDES(mu_);

  Result<Ref<UnixEndpoint>> destination(Ref<UnixEndpoint> to) EXCLUDES(mu_);
  bool send_buffer_has_room() const { return unsent_cost() < size_t(options_.send_buffer()); }
  Result<UnixMessage> make_message(IoIn& data, size_t size, const SocketCreds& creds) EXCLUDES(mu_);
  Result<size_t> send_stream(IoIn& data, UnixEndpoint& to, ControlData& control,
                             const SocketCreds& creds) EXCLUDES(mu_);
  Result<size_t> send_packet(IoIn& data, UnixEndpoint& to, ControlData& control,
                             const SocketCreds& creds) EXCLUDES(mu_);
  Result<void> deliver(UnixMessage message, UnixEndpoint& to) EXCLUDES(mu_);
  Result<void> enqueue(UnixMessage& message, UnixEndpoint& sender) EXCLUDES(mu_);
  Result<Socket::Received> receive_stream(IoOut& data, bool peek) EXCLUDES(mu_);
  Result<size_t> copy_stream_locked(IoOut& data, bool peek, Socket::Received& got,
                                    std::vector<UnixMessage>& done) REQUIRES(mu_);
  Result<Socket::Received> receive_packet(IoOut& data, int flags) EXCLUDES(mu_);
  Result<UnixMessage> take_packet(bool peek) EXCLUDES(mu_);
  // What a receive from an empty queue gives: an error, or success at the end of the data.
  Result<void> nothing_to_receive_locked() REQUIRES(mu_);
  static void finish(std::vector<UnixMessage> messages);

  int type_;
  Ref<UnixNamespace> names_;
  SocketOptions options_;
  Mutex<Rank::kFile> mu_;
  State state_ GUARDED_BY(mu_) = State::kUnconnected;
  uint8_t shutdown_ GUARDED_BY(mu_) = 0;
  bool closed_ GUARDED_BY(mu_) = false;
  int error_ GUARDED_BY(mu_) = 0;
  SocketAddress address_ GUARDED_BY(mu_);
  bool named_by_listener_ GUARDED_BY(mu_) = false;
  Path bound_path_ GUARDED_BY(mu_);
  Ref<UnixEndpoint> peer_ GUARDED_BY(mu_);
  Peer peer_creds_ GUARDED_BY(mu_);  // Of a listener: its own.
  std::deque<UnixMessage> messages_ GUARDED_BY(mu_);
  std::deque<Ref<UnixEndpoint>> accept_queue_ GUARDED_BY(mu_);
  size_t backlog_ GUARDED_BY(mu_) = 0;
  // Who found this queue full: told when it has room. Derived.
  std::vector<Ref<UnixEndpoint>> waiters_ GUARDED_BY(mu_);
  std::atomic<size_t> send_used_{0};
  WaitQueue queue_;
};

}  // namespace usk
