#include "net/inet/network.h"

#include <linux/capability.h>

#include <algorithm>

#include "host/random.h"
#include "state/saved.h"

namespace usk {
namespace {

const InetNetwork::Address kLoopback4{IpAddress::loopback(false), 8, 254, "lo"};
const InetNetwork::Address kLoopback6{IpAddress::loopback(true), 128, 254, "lo"};

}  // namespace

USK_SAVED(InetNetwork, "net/inet/network")

OrFailure<void> InetNetwork::restored(state::Restored&) {
  TRY(tcp.restore_waiting());
  Lock lock(mu_);
  if (!owner_) return fail("a network of nobody");
  const int low = settings.low_port, high = settings.high_port;
  if (low < 1 || high < low || high > 65535) return fail("a range of ports that cannot be");
  for (const Address& a : addresses_) {
    if (a.bits > (a.address.is_v4() ? 32 : 128)) return fail("an address that cannot be");
  }
  return {};
}

InetNetwork::InetNetwork(Ref<UserNamespace> owner, bool up)
    : tcp(*this), udp(*this), owner_(std::move(owner)) {
  if (up) set_up(true);
}

bool InetNetwork::may_administer(const Creds& c) const { return c.capable(CAP_NET_ADMIN, *owner_); }

bool InetNetwork::is_up() const {
  Lock lock(mu_);
  return up_;
}

void InetNetwork::set_up(bool up) {
  Lock lock(mu_);
  if (up_ == up) return;
  up_ = up;
  auto is_v6 = [](const Address& a) { return !a.address.is_v4(); };
  if (!up) {
    std::erase_if(addresses_, is_v6);
    return;
  }
  for (const Address& own : {kLoopback4, kLoopback6}) {
    if (!has_locked(own.address, own.bits)) insert_locked(own);
  }
}

std::vector<InetNetwork::Address> InetNetwork::addresses() const {
  Lock lock(mu_);
  return addresses_;
}

Result<void> InetNetwork::add_address(const Address& address) {
  Lock lock(mu_);
  if (has_locked(address.address, address.bits)) return Err(EEXIST);
  if (addresses_.size() >= kMaxAddresses) return Err(ENOBUFS);
  insert_locked(address);
  return {};
}

bool InetNetwork::has_locked(const IpAddress& address, uint8_t bits) const {
  return std::ranges::any_of(
      addresses_, [&](const Address& a) { return a.address == address && a.bits == bits; });
}

// Linux: those of the nearest scope come first.
void InetNetwork::insert_locked(const Address& address) {
  auto farther = [&](const Address& a) { return a.scope < address.scope; };
  addresses_.insert(std::ranges::find_if(addresses_, farther), address);
}

Result<void> InetNetwork::remove_address(const IpAddress& address, uint8_t bits) {
  Lock lock(mu_);
  auto same = [&](const Address& a) { return a.address == address && a.bits == bits; };
  if (std::erase_if(addresses_, same) == 0) return Err(EADDRNOTAVAIL);
  return {};
}

// Linux: on a loopback device the whole network of an IPv4 address is local.
bool InetNetwork::is_local_in(const std::vector<Address>& addresses, const IpAddress& address) {
  return std::ranges::any_of(addresses, [&](const Address& a) {
    return address.is_v4() ? a.address.same_network(address, a.bits) : a.address == address;
  });
}

bool InetNetwork::is_local(const IpAddress& address) const {
  if (address.is_any()) return true;
  Lock lock(mu_);
  return up_ && is_local_in(addresses_, address);
}

Result<IpAddress> InetNetwork::source_for(const IpAddress& to) const {
  Lock lock(mu_);
  if (!up_ || !is_local_in(addresses_, to)) return Err(ENETUNREACH);
  if (!to.is_v4()) return to;
  for (const Address& a : addresses_) {
    if (a.address.same_network(to, a.bits)) return a.address;
  }
  return Err(ENETUNREACH);
}

uint32_t InetNetwork::random() {
  uint32_t v;
  host::fill_random(std::as_writable_bytes(std::span(&v, 1)));
  return v;
}

}  // namespace usk
