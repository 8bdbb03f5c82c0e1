// The files of AF_UNIX: socket(2), socketpair(2), unix(7).
#pragma once
#include <utility>

#include "net/unix/endpoint.h"

namespace usk {

// A descriptor's view of an endpoint, with the look-up of names. Passing descriptors is for
// endpoint.h; who may send which credentials is decided here.
class UnixSocket final : public Socket {
 public:
  // `type` is SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET or SOCK_RAW (a datagram socket);
  // ESOCKTNOSUPPORT for others, EPROTONOSUPPORT unless `protocol` is 0 or PF_UNIX.
  static Result<Ref<Socket>> make(Caller& caller, Ref<UnixNamespace> names, int type, int protocol,
                                  int flags);
  static Result<std::pair<Ref<Socket>, Ref<Socket>>> make_pair(Caller& caller,
                                                               Ref<UnixNamespace> names, int type,
                                                               int protocol, int flags);
  UnixSocket(Ref<UnixEndpoint> endpoint, int flags, Ref<const Creds> creds, SocketCreds maker);
  explicit UnixSocket(Blank b) : Socket(b) {}
  ~UnixSocket() override;

  UnixEndpoint& endpoint() const { return *endpoint_; }

  Result<void> bind(Caller&, SocketNames&, const SocketAddress& address) override;
  Result<void> listen(Caller&, int backlog) override;
  Result<void> connect(Caller&, SocketNames&, const SocketAddress& address) override;
  Result<Ref<Socket>> accept(Caller&, int flags) override;
  Result<SocketAddress> local_address() override;
  Result<SocketAddress> peer_address() override;
  Result<void> shutdown(int how) override { return endpoint_->shutdown(how); }
  Result<size_t> send(Caller&, SocketNames&, SendArgs& args) override;
  Result<Received> receive(Caller&, IoOut& data, int flags) override;
  Result<std::string> get_option(Caller&, int level, int name, size_t room) override;
  Result<void> set_option(Caller&, int level, int name, std::string_view value) override;
  int64_t receive_timeout() override { return endpoint_->options().receive_timeout(); }
  int64_t send_timeout() override { return endpoint_->options().send_timeout(); }

  // Plain reads drop control messages; plain writes carry the credentials of the socket's maker
  // (write(2) with the caller at hand is send()).
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  Result<size_t> write_by(Caller& caller, IoIn& src, uint64_t& pos) override;
  PollMask poll() override { return endpoint_->poll(); }
  WaitQueue& queue() override { return endpoint_->queue(); }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;

  USK_FIELDS_OF(Socket, endpoint_, names_, maker_)
  OrFailure<void> restored(state::Restored& r);

 private:
  Result<Ref<UnixEndpoint>> find(SocketNames& names, const SocketAddress& address);
  Result<std::string> get_peer_option(Caller& caller, int name, size_t room);

  Ref<UnixEndpoint> endpoint_;
  Ref<UnixNamespace> names_;
  SocketCreds maker_;
};

}  // namespace usk
