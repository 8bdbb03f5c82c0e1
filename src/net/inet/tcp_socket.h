// SOCK_STREAM of AF_INET and AF_INET6: tcp(7).
#pragma once
#include "net/inet/inet_socket.h"
#include "net/inet/tcp_listener.h"

namespace usk {

// What a descriptor refers to: at most one of a listener and a connection's side, and a port. The
// port is the connection's while there is one, and comes back when connecting failed.
class TcpSocket final : public InetSocket {
 public:
  // Linux: what a fresh socket tells of its buffers, and what a connected one has.
  static constexpr int kSendBuffer = 16384, kReceiveBuffer = 131072;
  static constexpr int kTunedSendBuffer = 2626560;

  static Ref<TcpSocket> make(Ref<InetNetwork> network, int flags, Ref<const Creds> creds,
                             int domain);
  TcpSocket(Ref<InetNetwork> network, int flags, Ref<const Creds> creds, int domain);
  explicit TcpSocket(Blank b) : InetSocket(b) {}
  ~TcpSocket() override;

  Result<void> bind(Caller&, SocketNames&, const SocketAddress& address) override;
  Result<void> listen(Caller&, int backlog) override;
  Result<void> connect(Caller&, SocketNames&, const SocketAddress& address) override;
  Result<Ref<Socket>> accept(Caller&, int flags) override;
  Result<SocketAddress> local_address() override;
  Result<SocketAddress> peer_address() override;
  Result<void> shutdown(int how) override EXCLUDES(mu_);
  Result<size_t> send(Caller&, SocketNames&, SendArgs& args) override;
  Result<Received> receive(Caller&, IoOut& data, int flags) override;
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  PollMask poll() override EXCLUDES(mu_);
  WaitQueue& queue() override { return queue_->queue; }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  Facts facts() override EXCLUDES(mu_);

  USK_FIELDS_OF(InetSocket, binding_, listener_, connection_, side_, connecting_, congestion_,
                segment_)
  OrFailure<void> restored(state::Restored& r) EXCLUDES(mu_);

 protected:
  int take_error() override EXCLUDES(mu_);
  bool is_listening() override EXCLUDES(mu_);
  bool is_bound() override EXCLUDES(mu_);
  void options_changed() override EXCLUDES(mu_);
  Result<std::string> get_own_option(int level, int name, size_t room) override EXCLUDES(mu_);
  Result<void> set_own_option(Caller&, int level, int name, std::string_view value) override
      EXCLUDES(mu_);

 private:
  // The connection, if there is one, and which side of it this is.
  std::pair<Ref<TcpConnection>, int> connection() EXCLUDES(mu_);
  Result<void> start_connect_locked(const IpPort& to) REQUIRES(mu_);
  Result<void> continue_connect_locked() REQUIRES(mu_);
  Result<void> disconnect_locked() REQUIRES(mu_);
  void drop_connection_locked() REQUIRES(mu_);
  Result<void> take_port_locked(const IpPort& local, const IpPort& to) REQUIRES(mu_);
  TcpConnection::Side side_locked() REQUIRES(mu_);
  void adopt(Ref<TcpConnection> connection, const TcpSocket& listener) EXCLUDES(mu_);
  std::string info() EXCLUDES(mu_);

  Mutex<Rank::kFile> mu_;
  Ref<Binding> binding_ GUARDED_BY(mu_);
  Ref<TcpListener> listener_ GUARDED_BY(mu_);
  Ref<TcpConnection> connection_ GUARDED_BY(mu_);
  int side_ GUARDED_BY(mu_) = 0;
  bool connecting_ GUARDED_BY(mu_) = false;  // connect(2) has not said how it went.
  std::string congestion_ GUARDED_BY(mu_) = "cubic";
  int segment_ GUARDED_BY(mu_) = 0;  // TCP_MAXSEG
};

}  // namespace usk
