#include "kernel/time/timekeeper.h"

#include "host/poll.h"

namespace usk {

int64_t Timekeeper::now(clockid_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI: return host::realtime_now() + realtime_offset_;
    // As the vDSO tells them, too.
    case CLOCK_REALTIME_COARSE: return host::realtime_coarse_now() + realtime_offset_;
    case CLOCK_MONOTONIC_COARSE: return host::monotonic_coarse_now() + monotonic_offset_;
    default: return host::monotonic_now() + monotonic_offset_;
  }
}

void Timekeeper::remove_locked(TimerClient* client) {
  auto it = places_.find(client);
  if (it == places_.end()) return;
  Place place = it->second;
  places_.erase(it);
  place.heap->erase(place.at);
}

void Timekeeper::arm(Ref<TimerClient> client, clockid_t clock, int64_t at) {
  const bool realtime = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
  Ref<TimerClient> keep = client;  // Dropping the old entry must not be the last count.
  Lock lock(mu_);
  remove_locked(client.get());
  Heap& heap = realtime ? realtime_heap_ : monotonic_heap_;
  TimerClient* key = client.get();
  places_[key] = {&heap, heap.emplace(at, std::move(client))};
}

void Timekeeper::disarm(TimerClient& client) {
  Ref<TimerClient> keep = Ref<TimerClient>::share(&client);
  Lock lock(mu_);
  remove_locked(&client);
}

void Timekeeper::set_realtime(int64_t ns) {
  realtime_offset_ = ns - host::realtime_now();
  page_.set_offsets(realtime_offset_, monotonic_offset_);
  set_count_++;
  set_queue_.wake(POLLIN);
}

void Timekeeper::begin_at(int64_t monotonic_ns) {
  monotonic_offset_ = monotonic_ns - host::monotonic_now();
  page_.set_offsets(realtime_offset_, monotonic_offset_);
}

void Timekeeper::continue_realtime_at(int64_t ns) {
  realtime_offset_ = ns - host::realtime_now();
  page_.set_offsets(realtime_offset_, monotonic_offset_);
}

bool Timekeeper::take_expired_locked(Heap& heap, int64_t now, std::vector<Ref<TimerClient>>& out) {
  bool any = false;
  while (!heap.empty() && heap.begin()->first <= now) {
    out.push_back(heap.begin()->second);
    remove_locked(out.back().get());
    any = true;
  }
  return any;
}

Deadline Timekeeper::expire() {
  for (;;) {
    std::vector<Ref<TimerClient>> expired;
    {
      Lock lock(mu_);
      if (places_.empty()) return {};
      const int64_t mono = now(CLOCK_MONOTONIC);
      const int64_t real = realtime_heap_.empty() ? 0 : now(CLOCK_REALTIME);
      const bool a = take_expired_locked(monotonic_heap_, mono, expired);
      const bool b = take_expired_locked(realtime_heap_, real, expired);
      if (!a && !b) {
        int64_t next = INT64_MAX;
        if (!monotonic_heap_.empty()) next = monotonic_heap_.begin()->first;
        if (!realtime_heap_.empty()) {
          next = std::min(next, mono + (realtime_heap_.begin()->first - real));
        }
        return {next == INT64_MAX ? next : next - monotonic_offset_};
      }
    }
    for (auto& client : expired) client->expired();
  }
}

}  // namespace usk
