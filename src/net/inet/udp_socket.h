// SOCK_DGRAM of AF_INET and AF_INET6: udp(7).
#pragma once
#include <deque>
#include <optional>

#include "net/inet/datagram.h"
#include "net/inet/inet_socket.h"

namespace usk {

// Where a datagram goes.
struct DatagramRoute {
  IpPort from, to;
  bool connected = false;  // Its sender is, and hears when nobody is there.
  USK_FIELDS(from, to, connected)
};

// What MSG_MORE and UDP_CORK hold back.
struct HeldDatagram {
  Datagram datagram;
  DatagramRoute route;
  USK_FIELDS(datagram, route)
};

// A datagram is in its receiver's queue as soon as it is sent; where that is full it is lost, as
// UDP may lose it. Only one socket's lock is held at a time.
class UdpSocket final : public InetSocket {
 public:
  static constexpr size_t kMaxDatagram = 65535 - 20 - 8;

  static Ref<UdpSocket> make(Ref<InetNetwork> network, int flags, Ref<const Creds> creds,
                             int domain);
  UdpSocket(Ref<InetNetwork> network, int flags, Ref<const Creds> creds, int domain);
  explicit UdpSocket(Blank b) : InetSocket(b) {}
  ~UdpSocket() override;

  Result<void> bind(Caller&, SocketNames&, const SocketAddress& address) override;
  Result<void> connect(Caller&, SocketNames&, const SocketAddress& address) override;
  Result<SocketAddress> local_address() override EXCLUDES(mu_);
  Result<SocketAddress> peer_address() override EXCLUDES(mu_);
  Result<void> shutdown(int how) override EXCLUDES(mu_);
  Result<size_t> send(Caller&, SocketNames&, SendArgs& args) override;
  Result<Received> receive(Caller&, IoOut& data, int flags) override;
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  PollMask poll() override EXCLUDES(mu_);
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  Facts facts() override EXCLUDES(mu_);

  USK_FIELDS_OF(InetSocket, binding_, local_, remote_, shutdown_, error_, messages_, used_, drops_,
                errors_, corked_)
  OrFailure<void> restored(state::Restored& r) EXCLUDES(mu_);

 protected:
  int take_error() override EXCLUDES(mu_);
  bool is_bound() override EXCLUDES(mu_);
  void options_changed() override EXCLUDES(mu_);
  Result<void> set_own_option(Caller&, int level, int name, std::string_view value) override
      EXCLUDES(mu_);

 private:
  enum : uint8_t { kNoReceive = 1, kNoSend = 2 };
  static constexpr size_t kMaxErrors = 64;
  struct Undelivered {  // For MSG_ERRQUEUE.
    std::string data;
    IpPort to;
    USK_FIELDS(data, to)
  };
  Result<DatagramRoute> route(const SocketAddress& to, const PacketWish& wish) EXCLUDES(mu_);
  Result<void> take_port_locked(const IpPort& local) REQUIRES(mu_);
  Result<size_t> send_to(IoIn& data, const SocketAddress& to, const PacketWish& wish, int flags);
  Result<HeldDatagram> begin_datagram(const SocketAddress& to, const PacketWish& wish)
      EXCLUDES(mu_);
  void send_datagram(HeldDatagram c) EXCLUDES(mu_);
  void deliver(Datagram d) EXCLUDES(mu_);
  void note_unreachable(const DatagramRoute& route, const std::string& data) EXCLUDES(mu_);
  Result<void> disconnect_locked() REQUIRES(mu_);
  Result<Received> receive_error(IoOut& data) EXCLUDES(mu_);
  Result<Received> receive_data(IoOut& data, int flags) EXCLUDES(mu_);
  bool wants_errors() const;

  Mutex<Rank::kFile> mu_;
  Ref<Binding> binding_ GUARDED_BY(mu_);
  IpAddress local_ GUARDED_BY(mu_);  // As bind(2) gave it.
  IpPort remote_ GUARDED_BY(mu_);    // Port 0: none.
  uint8_t shutdown_ GUARDED_BY(mu_) = 0;
  int error_ GUARDED_BY(mu_) = 0;
  std::deque<Datagram> messages_ GUARDED_BY(mu_);
  size_t used_ GUARDED_BY(mu_) = 0;  // Of the receive buffer.
  uint64_t drops_ GUARDED_BY(mu_) = 0;
  std::deque<Undelivered> errors_ GUARDED_BY(mu_);
  std::optional<HeldDatagram> corked_ GUARDED_BY(mu_);
};

}  // namespace usk
