// Which ports are in use, and by whom: bind(2), ip(7), SO_REUSEADDR and SO_REUSEPORT of socket(7).
#pragma once
#include <deque>
#include <unordered_map>
#include <vector>

#include "base/budget.h"
#include "base/failure.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "creds/creds.h"
#include "net/inet/address.h"

namespace usk {

class InetNetwork;
class PortTable;

// That somebody has a port. Members change only under the lock of the table it is in.
class Binding final : public RefCounted {
 public:
  Binding() = default;
  ~Binding() override;

  IpPort local, remote;  // remote.port 0: it is connected to nobody.
  bool v6_only = false;  // Of a wildcard of IPv6: not for IPv4 as well.
  bool reuse = false;    // SO_REUSEADDR
  bool share = false;    // SO_REUSEPORT
  bool by_name = true;   // bind(2) gave the port, not connect(2).
  bool listening = false;
  bool time_wait = false;
  Uid uid = 0;
  // Who receives what comes there: a TcpListener or a UdpSocket, which takes itself out. Derived.
  RefCounted* receiver = nullptr;

  // Of one that waits there is none.
  bool has_network() const { return bool(network_); }
  PortTable& table() const;

  USK_FIELDS(network_, tcp_, local, remote, v6_only, reuse, share, by_name, listening, time_wait,
             uid)
  OrFailure<void> restored(state::Restored&);

 private:
  friend PortTable;
  Ref<InetNetwork> network_;
  bool tcp_ = true;
  size_t place_ = 0;  // Among those of its port.
};

// The ports of one protocol. Derived, as bindings put themselves in and take themselves out, except
// for those that wait after a connection's end (TIME_WAIT): they are held here alone.
class PortTable {
 public:
  explicit PortTable(InetNetwork& network) : network_(network) {}

  struct Wish {
    IpPort local;  // Port 0: any.
    bool v6_only = false, reuse = false, share = false;
    Uid uid = 0;
  };
  // bind(2): EADDRINUSE.
  Result<Ref<Binding>> bind(const Wish& wish) EXCLUDES(mu_);
  // A port for a socket that connects without being bound. EADDRNOTAVAIL.
  Result<Ref<Binding>> bind_to_connect(const Wish& wish, const IpPort& remote) EXCLUDES(mu_);
  // Connects one that is bound (remote.port 0: not any more). EADDRNOTAVAIL where that connection
  // exists, and only_one.
  Result<void> connect(Binding& b, const IpPort& local, const IpPort& remote, bool only_one)
      EXCLUDES(mu_);
  // The server's end of a connection, at a listener's port.
  Ref<Binding> add_accepted(const Binding& listener, const IpPort& local, const IpPort& remote)
      EXCLUDES(mu_);
  // listen(2): EADDRINUSE where another listens there.
  Result<void> listen(Binding& b, RefCounted& receiver) EXCLUDES(mu_);
  void set_receiver(Binding& b, RefCounted* receiver) EXCLUDES(mu_);
  void stop_listening(Binding& b) EXCLUDES(mu_);
  void set_reuse(Binding& b, bool reuse, bool share) EXCLUDES(mu_);
  // Who receives what `from` sends to `to`; null: nobody.
  Ref<RefCounted> find(const IpPort& to, const IpPort& from) EXCLUDES(mu_);
  // The side of a connection that ended it first keeps its port for a while.
  void wait(Ref<Binding> b) EXCLUDES(mu_);
  struct Waiting {
    IpPort local, remote;
    int64_t until;
  };
  std::vector<Waiting> waiting() EXCLUDES(mu_);

  USK_FIELDS(waiting_)
  OrFailure<void> restore_waiting() EXCLUDES(mu_);

 private:
  friend Binding;
  struct Port {
    std::vector<Binding*> all;
    std::vector<Binding*> receivers;  // In the order in which they came.
  };
  static constexpr int64_t kWaitNs = 60'000'000'000;  // Linux: TCP_TIMEWAIT_LEN
  static constexpr size_t kMaxWaiting = 16384;        // Linux: net.ipv4.tcp_max_tw_buckets
  struct Timed {
    int64_t until;
    Ref<Binding> binding;
    Charge memory;
    USK_FIELDS(until, binding, memory)
  };

  Ref<Binding> make(const Wish& wish);
  void insert_locked(Binding& b) REQUIRES(mu_);
  void remove(Binding& b) EXCLUDES(mu_);
  void remove_locked(Binding& b) REQUIRES(mu_);
  void set_receiver_locked(Binding& b, RefCounted* receiver) REQUIRES(mu_);
  Ref<Binding> take_oldest_locked() REQUIRES(mu_);
  void forget_waited() EXCLUDES(mu_);
  bool conflicts_locked(const Binding& b, uint16_t port) REQUIRES(mu_);
  bool is_connected_locked(const Binding& b, uint16_t port, const IpPort& remote) REQUIRES(mu_);
  template <class Free>
  Result<uint16_t> choose_locked(uint32_t start, Free free) REQUIRES(mu_);

  InetNetwork& network_;
  Mutex<Rank::kLeaf> mu_;
  std::unordered_map<uint16_t, Port> ports_ GUARDED_BY(mu_);
  std::deque<Timed> waiting_ GUARDED_BY(mu_);
};

}  // namespace usk
