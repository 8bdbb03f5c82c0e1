// AF_NETLINK: netlink(7).
#pragma once
#include <deque>

#include "base/budget.h"
#include "fs/vfs/guard.h"
#include "fs/vfs/socket.h"
#include "fs/vfs/socket_options.h"
#include "net/inet/network.h"
#include "net/netlink/message.h"
#include "net/unix/unix_namespace.h"

namespace usk {

// A way to ask the kernel: a request is answered while it is sent, and the answers wait in the
// socket's own queue. Nothing is ever sent from one program to another, and groups of listeners
// hear nothing.
class NetlinkSocket final : public Socket {
 public:
  // ESOCKTNOSUPPORT, EPROTONOSUPPORT.
  static Result<Ref<Socket>> make(Caller& caller, Ref<InetNetwork> network,
                                  Ref<UnixNamespace> names, int type, int protocol, int flags);
  NetlinkSocket(Ref<InetNetwork> network, Ref<UnixNamespace> names, int flags,
                Ref<const Creds> creds, int type, int protocol);
  explicit NetlinkSocket(Blank b) : Socket(b) {}
  ~NetlinkSocket() override;

  const InetNetwork& network() const { return *network_; }
  uint32_t port() EXCLUDES(mu_);

  Result<void> bind(Caller&, SocketNames&, const SocketAddress& address) override EXCLUDES(mu_);
  Result<void> connect(Caller&, SocketNames&, const SocketAddress& address) override EXCLUDES(mu_);
  Result<SocketAddress> local_address() override EXCLUDES(mu_);
  Result<SocketAddress> peer_address() override EXCLUDES(mu_);
  Result<void> shutdown(int) override { return Err(EOPNOTSUPP); }
  Result<size_t> send(Caller&, SocketNames&, SendArgs& args) override EXCLUDES(mu_);
  Result<Received> receive(Caller&, IoOut& data, int flags) override;
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write_by(Caller& caller, IoIn& src, uint64_t& pos) override;
  Result<std::string> get_option(Caller&, int level, int name, size_t room) override EXCLUDES(mu_);
  Result<void> set_option(Caller&, int level, int name, std::string_view value) override
      EXCLUDES(mu_);
  int64_t receive_timeout() override { return options_.receive_timeout(); }
  int64_t send_timeout() override { return options_.send_timeout(); }
  PollMask poll() override EXCLUDES(mu_);

  USK_FIELDS_OF(Socket, network_, names_, options_, port_, groups_, peer_, switches_, messages_,
                error_)
  OrFailure<void> restored(state::Restored& r) EXCLUDES(mu_);

 private:
  static constexpr size_t kMaxRequest = 212992;  // Linux: what the send buffer holds.
  static constexpr size_t kMaxWaiting = 4 << 20;
  struct Message {
    std::string data;
    Charge memory;
    USK_FIELDS(data, memory)
  };
  Result<void> take_port(Caller& caller, uint32_t wanted) EXCLUDES(mu_);
  Result<size_t> ask_kernel(Caller& caller, IoIn& data) EXCLUDES(mu_);
  void answer(const netlink::Request& request) EXCLUDES(mu_);
  Result<void> serve(const netlink::Request& request, netlink::Replies& replies);
  Result<Received> receive_one(IoOut& data, int flags) EXCLUDES(mu_);
  bool has_switch(int option) EXCLUDES(mu_);

  Ref<InetNetwork> network_;
  Ref<UnixNamespace> names_;
  SocketOptions options_;
  Mutex<Rank::kFile> mu_;
  uint32_t port_ GUARDED_BY(mu_) = 0;  // 0: none yet.
  uint32_t groups_ GUARDED_BY(mu_) = 0;
  uint32_t peer_ GUARDED_BY(mu_) = 0;      // The port that connect(2) named.
  uint32_t switches_ GUARDED_BY(mu_) = 0;  // Options of level SOL_NETLINK that are on, by number.
  std::deque<Message> messages_ GUARDED_BY(mu_);
  int error_ GUARDED_BY(mu_) = 0;
};

// Those of a network, in order of their making.
std::vector<Ref<NetlinkSocket>> all_netlink_sockets(const InetNetwork& network);

}  // namespace usk
