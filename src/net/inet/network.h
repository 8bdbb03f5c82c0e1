// What a network namespace consists of: network_namespaces(7).
#pragma once
#include <atomic>
#include <vector>

#include "base/failure.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "creds/creds.h"
#include "net/inet/port_table.h"

namespace usk {

// The settings of /proc/sys/net that sockets look at.
struct NetworkSettings {
  std::atomic<int> low_port{32768}, high_port{60999};
  std::atomic<int> unprivileged_port_start{1024};
  std::atomic<int> somaxconn{4096};
  USK_FIELDS(low_port, high_port, unprivileged_port_start, somaxconn)
};

// One device, "lo", with its addresses; the ports in use. Nothing of it is the host's. A fresh
// one's device is down, as in any new network namespace; packets need none, so what is sent
// arrives at once or never.
class InetNetwork final : public RefCounted {
 public:
  static constexpr int kMtu = 65536;
  static constexpr int kDevice = 1;  // Its index.
  static constexpr size_t kMaxAddresses = 256;

  struct Address {
    IpAddress address;
    uint8_t bits = 0;     // Of its network's prefix.
    uint8_t scope = 254;  // RT_SCOPE_HOST
    std::string label;
    USK_FIELDS(address, bits, scope, label)
  };

  InetNetwork(Ref<UserNamespace> owner, bool up);
  explicit InetNetwork(Blank) : tcp(*this), udp(*this) {}

  const UserNamespace& owner() const { return *owner_; }
  bool may_administer(const Creds& c) const;  // CAP_NET_ADMIN towards it.

  bool is_up() const EXCLUDES(mu_);
  // As the kernel does with a loopback device: it gets its own addresses when it comes up, those
  // of IPv6 go when it goes down.
  void set_up(bool up) EXCLUDES(mu_);
  std::vector<Address> addresses() const EXCLUDES(mu_);
  // EEXIST, ENOBUFS
  Result<void> add_address(const Address& address) EXCLUDES(mu_);
  // EADDRNOTAVAIL
  Result<void> remove_address(const IpAddress& address, uint8_t bits) EXCLUDES(mu_);

  // Whether a socket may be bound to it (the wildcards may always).
  bool is_local(const IpAddress& address) const EXCLUDES(mu_);
  // The address that a packet to `to` comes from. ENETUNREACH.
  Result<IpAddress> source_for(const IpAddress& to) const EXCLUDES(mu_);

  // A number nobody can foretell.
  uint32_t random();

  NetworkSettings settings;
  PortTable tcp, udp;
  // Of all connections: /proc/net/snmp.
  struct Counts {
    std::atomic<uint64_t> active_opens{0}, passive_opens{0}, failed_attempts{0}, resets{0};
    std::atomic<uint64_t> bytes{0}, segments{0};
    std::atomic<uint64_t> udp_in{0}, udp_no_ports{0}, udp_full{0};
    USK_FIELDS(active_opens, passive_opens, failed_attempts, resets, bytes, segments, udp_in,
               udp_no_ports, udp_full)
  } counts;

  USK_FIELDS(owner_, settings, tcp, up_, addresses_, counts)
  OrFailure<void> restored(state::Restored&);

 private:
  bool has_locked(const IpAddress& address, uint8_t bits) const REQUIRES(mu_);
  void insert_locked(const Address& address) REQUIRES(mu_);
  static bool is_local_in(const std::vector<Address>& addresses, const IpAddress& address);

  Ref<UserNamespace> owner_;
  mutable Mutex<Rank::kLeaf> mu_;
  bool up_ GUARDED_BY(mu_) = false;
  std::vector<Address> addresses_ GUARDED_BY(mu_);
};

}  // namespace usk
