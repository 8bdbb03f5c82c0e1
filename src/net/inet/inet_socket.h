// What sockets of AF_INET and AF_INET6 have in common: ip(7), ipv6(7).
#pragma once
#include <optional>
#include <vector>

#include "fs/vfs/guard.h"
#include "fs/vfs/socket_options.h"
#include "net/inet/inet_options.h"
#include "net/inet/network.h"
#include "net/inet/socket_queue.h"

namespace usk {

// Options, the rules of bind(2), and what is asked of the device. A socket is in its network's
// list (all_inet_sockets) from list() until its own destructor calls unlist().
class InetSocket : public Socket {
 public:
  ~InetSocket() override;

  InetNetwork& network() const { return *network_; }
  const Ref<InetNetwork>& network_ref() const { return network_; }
  bool is_v6() const { return domain() == AF_INET6; }

  // A line of /proc/net/tcp, a message of sock_diag(7).
  struct Facts {
    IpPort local, remote;
    int state = 0;
    size_t receive_queue = 0, send_queue = 0;
    uint64_t drops = 0;
  };
  virtual Facts facts() = 0;

  // An option that does not depend on who asks; empty: there is none.
  std::string plain_option(int level, int name);
  Result<std::string> get_option(Caller&, int level, int name, size_t room) override;
  Result<void> set_option(Caller&, int level, int name, std::string_view value) override;
  int64_t receive_timeout() override { return options_.receive_timeout(); }
  int64_t send_timeout() override { return options_.send_timeout(); }
  WaitQueue& queue() override { return queue_->queue; }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;

  USK_FIELDS_OF(Socket, network_, options_, inet_options_, hop_limit_, device_, queue_)
  OrFailure<void> restored(state::Restored& r);

 protected:
  InetSocket(Ref<InetNetwork> network, int flags, Ref<const Creds> creds, int domain, int type,
             int protocol, int send_buffer, int receive_buffer);
  explicit InetSocket(Blank b) : Socket(b) {}
  void list();
  void unlist();

  virtual int take_error() = 0;
  virtual bool is_listening() { return false; }
  virtual bool is_bound() = 0;
  // The port's, after SO_REUSEADDR, SO_REUSEPORT, SO_SNDBUF, SO_RCVBUF, SO_OOBINLINE changed.
  virtual void options_changed() {}
  virtual Result<std::string> get_own_option(int level, int name, size_t room) {
    return Err(ENOPROTOOPT);
  }
  virtual Result<void> set_own_option(Caller&, int level, int name, std::string_view value) {
    return Err(ENOPROTOOPT);
  }

  // bind(2)'s address, checked: EINVAL, EAFNOSUPPORT, EADDRNOTAVAIL, EACCES.
  Result<IpPort> address_to_bind(Caller& caller, const SocketAddress& address);
  // Where a packet goes: the wildcards mean this host. EINVAL, EAFNOSUPPORT, ENETUNREACH.
  Result<IpPort> destination(const SocketAddress& address, bool takes_v4);
  PortTable::Wish wish(const IpPort& local) const;
  bool is_v6_only() const;

  Ref<InetNetwork> network_;
  SocketOptions options_;
  InetOptions inet_options_;
  std::atomic<int> hop_limit_{64};
  std::atomic<bool> device_{false};  // SO_BINDTODEVICE: to the only one there is.
  Ref<SocketQueue> queue_;

 private:
  Result<std::string> get_socket_option(int name, size_t room);
  Result<void> set_socket_option(Caller& caller, int name, std::string_view value);
};

// Those of a network, in order of their making.
std::vector<Ref<InetSocket>> all_inet_sockets(const InetNetwork& network);

// Asks the policy for an address.
Result<void> ask_address(Category what, bool tcp, const IpPort& where);

}  // namespace usk
