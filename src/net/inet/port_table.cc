#include "net/inet/port_table.h"

#include <algorithm>

#include "base/timer.h"
#include "net/inet/network.h"
#include "state/saved.h"

namespace usk {
namespace {

bool covers(const Binding& b, bool v6) {
  if (b.local.address.is_v4()) return !v6;
  return v6 || (b.local.address.is_any() && !b.v6_only);
}

// Whether some address is both's.
bool overlap(const Binding& a, const Binding& b) {
  const bool any = a.local.address.is_any() || b.local.address.is_any();
  for (bool v6 : {false, true}) {
    if (covers(a, v6) && covers(b, v6) && (any || a.local.address == b.local.address)) return true;
  }
  return false;
}

// How well `b` fits what `from` sends to `to`; negative: not at all.
int score(const Binding& b, const IpPort& to, const IpPort& from) {
  if (!b.receiver || b.time_wait) return -1;
  if (b.remote.port != 0 && b.remote != from) return -1;
  const bool any = b.local.address.is_any();
  if (any ? !covers(b, !to.address.is_v4()) : b.local.address != to.address) return -1;
  int points = b.remote.port != 0 ? 8 : 0;
  if (!any) points += 4;
  if (b.local.address.is_v4() == to.address.is_v4()) points += 1;
  return points;
}

}  // namespace

USK_SAVED(Binding, "net/inet/binding")

Binding::~Binding() {
  if (network_) table().remove(*this);
}

PortTable& Binding::table() const { return tcp_ ? network_->tcp : network_->udp; }

OrFailure<void> Binding::restored(state::Restored&) {
  if (local.port == 0) return fail("a port that cannot be");
  if (time_wait) return {};  // The table's.
  if (!network_) return fail("a port of no network");
  PortTable& t = table();
  Lock lock(t.mu_);
  t.insert_locked(*this);
  return {};
}

OrFailure<void> PortTable::restore_waiting() {
  Lock lock(mu_);
  for (Timed& t : waiting_) {
    if (!t.binding || !t.binding->time_wait || t.binding->network_ || t.binding->local.port == 0) {
      return fail("a port that does not wait");
    }
    insert_locked(*t.binding);
  }
  return {};
}

Ref<Binding> PortTable::make(const Wish& wish) {
  auto b = make_ref<Binding>();
  b->local = wish.local;
  b->v6_only = wish.v6_only;
  b->reuse = wish.reuse;
  b->share = wish.share;
  b->uid = wish.uid;
  return b;
}

void PortTable::insert_locked(Binding& b) {
  std::vector<Binding*>& all = ports_[b.local.port].all;
  b.place_ = all.size();
  all.push_back(&b);
}

void PortTable::remove(Binding& b) {
  Lock lock(mu_);
  remove_locked(b);
}

void PortTable::remove_locked(Binding& b) {
  auto it = ports_.find(b.local.port);
  if (it == ports_.end()) return;
  std::vector<Binding*>& all = it->second.all;
  if (b.place_ >= all.size() || all[b.place_] != &b) return;
  set_receiver_locked(b, nullptr);
  all[b.place_] = all.back();
  all[b.place_]->place_ = b.place_;
  all.pop_back();
  if (all.empty()) ports_.erase(it);
}

void PortTable::set_receiver_locked(Binding& b, RefCounted* receiver) {
  std::vector<Binding*>& receivers = ports_[b.local.port].receivers;
  if (receiver && !b.receiver) receivers.push_back(&b);
  if (!receiver && b.receiver) std::erase(receivers, &b);
  b.receiver = receiver;
}

bool PortTable::conflicts_locked(const Binding& b, uint16_t port) {
  auto it = ports_.find(port);
  if (it == ports_.end()) return false;
  const bool tcp = &network_.tcp == this;
  return std::ranges::any_of(it->second.all, [&](const Binding* o) {
    if (o == &b || !overlap(b, *o)) return false;
    if (b.reuse && o->reuse && !(tcp && o->listening)) return false;
    return !(b.share && o->share && (o->time_wait || o->uid == b.uid));
  });
}

bool PortTable::is_connected_locked(const Binding& b, uint16_t port, const IpPort& remote) {
  auto it = ports_.find(port);
  if (it == ports_.end()) return false;
  return std::ranges::any_of(it->second.all, [&](const Binding* o) {
    return o != &b && o->remote == remote && o->local.address == b.local.address;
  });
}

// Ports of the range that connections without bind(2) use, from a random one on.
template <class Free>
Result<uint16_t> PortTable::choose_locked(uint32_t start, Free free) {
  const int low = network_.settings.low_port, high = network_.settings.high_port;
  const uint32_t n = uint32_t(high - low + 1);
  for (uint32_t i = 0; i < n; ++i) {
    const uint16_t port = uint16_t(uint32_t(low) + (start + i) % n);
    if (free(port)) return port;
  }
  return Err(EADDRINUSE);
}

Result<Ref<Binding>> PortTable::bind(const Wish& wish) {
  forget_waited();
  Ref<Binding> b = make(wish);
  const uint32_t start = wish.local.port == 0 ? network_.random() : 0;
  Lock lock(mu_);
  if (wish.local.port == 0) {
    b->local.port = TRY(choose_locked(
        start, [&](uint16_t port) NO_THREAD_SAFETY_ANALYSIS { return !ports_.contains(port); }));
  } else if (conflicts_locked(*b, wish.local.port)) {
    return Err(EADDRINUSE);
  }
  b->network_ = Ref<InetNetwork>::share(&network_);
  b->tcp_ = &network_.tcp == this;
  insert_locked(*b);
  return b;
}

Result<Ref<Binding>> PortTable::bind_to_connect(const Wish& wish, const IpPort& remote) {
  forget_waited();
  Ref<Binding> b = make(wish);
  b->by_name = false;
  const uint32_t start = network_.random();
  Lock lock(mu_);
  auto is_free = [&](uint16_t port) NO_THREAD_SAFETY_ANALYSIS {
    auto it = ports_.find(port);
    if (it == ports_.end()) return true;
    auto named = [](const Binding* o) { return o->by_name; };
    return std::ranges::none_of(it->second.all, named) && !is_connected_locked(*b, port, remote);
  };
  const auto port = choose_locked(start, is_free);
  if (!port) return Err(EADDRNOTAVAIL);
  b->local.port = *port;
  b->remote = remote;
  b->network_ = Ref<InetNetwork>::share(&network_);
  b->tcp_ = &network_.tcp == this;
  insert_locked(*b);
  return b;
}

Result<void> PortTable::connect(Binding& b, const IpPort& local, const IpPort& remote,
                                bool only_one) {
  forget_waited();
  Lock lock(mu_);
  const IpAddress before = std::exchange(b.local.address, local.address);
  if (only_one && remote.port != 0 && is_connected_locked(b, b.local.port, remote)) {
    b.local.address = before;
    return Err(EADDRNOTAVAIL);
  }
  b.remote = remote;
  return {};
}

Ref<Binding> PortTable::add_accepted(const Binding& listener, const IpPort& local,
                                     const IpPort& remote) {
  auto b = make_ref<Binding>();
  b->local = local;
  b->remote = remote;
  Lock lock(mu_);
  b->reuse = listener.reuse;
  b->share = listener.share;
  b->uid = listener.uid;
  b->network_ = Ref<InetNetwork>::share(&network_);
  b->tcp_ = true;
  insert_locked(*b);
  return b;
}

Result<void> PortTable::listen(Binding& b, RefCounted& receiver) {
  Lock lock(mu_);
  if (conflicts_locked(b, b.local.port)) return Err(EADDRINUSE);
  b.listening = true;
  set_receiver_locked(b, &receiver);
  return {};
}

void PortTable::set_receiver(Binding& b, RefCounted* receiver) {
  Lock lock(mu_);
  set_receiver_locked(b, receiver);
}

void PortTable::stop_listening(Binding& b) {
  Lock lock(mu_);
  b.listening = false;
  set_receiver_locked(b, nullptr);
}

void PortTable::set_reuse(Binding& b, bool reuse, bool share) {
  Lock lock(mu_);
  b.reuse = reuse;
  b.share = share;
}

Ref<RefCounted> PortTable::find(const IpPort& to, const IpPort& from) {
  const uint32_t mix = (uint32_t(from.port) * 0x9e3779b1u) >> 8;
  Lock lock(mu_);
  auto it = ports_.find(to.port);
  if (it == ports_.end()) return {};
  int best = -1;
  uint32_t equals = 0;
  Binding* found = nullptr;
  // Of several that are equally good the last one gets it; those that share take turns.
  for (Binding* b : it->second.receivers) {
    const int points = score(*b, to, from);
    if (points < 0 || points < best) continue;
    equals = points == best && b->share ? equals + 1 : 1;
    if (equals == 1 || mix % equals == 0) found = b;
    best = points;
  }
  if (!found || !found->receiver->try_ref()) return {};
  return Ref<RefCounted>::adopt(found->receiver);
}

void PortTable::wait(Ref<Binding> b) {
  if (!b) return;
  const int64_t until = timer_service().now(CLOCK_MONOTONIC) + kWaitNs;
  Timed timed{until, {}, {}};
  if (!timed.memory.set(sizeof timed + sizeof *b)) return;
  Ref<Binding> oldest;  // Both go after the lock.
  Ref<InetNetwork> network;
  Lock lock(mu_);
  b->time_wait = true;
  set_receiver_locked(*b, nullptr);
  network = std::move(b->network_);  // It must not hold what holds it.
  timed.binding = std::move(b);
  waiting_.push_back(std::move(timed));
  if (waiting_.size() > kMaxWaiting) oldest = take_oldest_locked();
}

Ref<Binding> PortTable::take_oldest_locked() {
  Ref<Binding> b = std::move(waiting_.front().binding);
  waiting_.pop_front();
  remove_locked(*b);
  return b;
}

void PortTable::forget_waited() {
  std::vector<Ref<Binding>> over;
  Lock lock(mu_);
  if (waiting_.empty()) return;
  const int64_t now = timer_service().now(CLOCK_MONOTONIC);
  while (!waiting_.empty() && waiting_.front().until <= now) {
    over.push_back(take_oldest_locked());
  }
}

std::vector<PortTable::Waiting> PortTable::waiting() {
  forget_waited();
  std::vector<Waiting> out;
  Lock lock(mu_);
  for (const Timed& t : waiting_) out.push_back({t.binding->local, t.binding->remote, t.until});
  return out;
}

}  // namespace usk
