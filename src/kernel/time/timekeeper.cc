#include "kernel/time/timekeeper.h"

#include <algorithm>

#include "base/saturate.h"
#include "fs/vfs/file_time.h"
#include "host/poll.h"

namespace usk {
namespace {

void tell_offsets(TimePage& page, int64_t realtime, int64_t monotonic) {
  page.set_offsets(realtime, monotonic);
  set_file_time_offset(realtime);
}

}  // namespace

int64_t Timekeeper::now(clockid_t clock) {
  if (stands_still_) {
    const bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM ||
                      clock == CLOCK_TAI || clock == CLOCK_REALTIME_COARSE;
    if (clock == CLOCK_MONOTONIC_COARSE) return still_.coarse;
    return wall ? still_.realtime : still_.monotonic;
  }
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI: return saturating_add(host::realtime_now(), realtime_offset_);
    // As the vDSO tells them, too.
    case CLOCK_REALTIME_COARSE:
      return saturating_add(host::realtime_coarse_now(), realtime_offset_);
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
  tell_offsets(page_, realtime_offset_, monotonic_offset_);
  realtime_was_set();
}

void Timekeeper::realtime_was_set() {
  set_count_++;
  set_queue_.wake(POLLIN);
}

Timekeeper::Moment Timekeeper::moment() {
  return {now(CLOCK_MONOTONIC), now(CLOCK_REALTIME), now(CLOCK_MONOTONIC_COARSE)};
}

void Timekeeper::stand_still() {
  still_ = moment();
  stands_still_ = true;
}

void Timekeeper::go_on() {
  if (stands_still_.exchange(false)) begin_at(still_);
}

// It may come from an image that somebody made up.
void Timekeeper::begin_at(const Moment& m) {
  constexpr int64_t kLatest = INT64_MAX / 4;
  const int64_t monotonic = std::clamp<int64_t>(m.monotonic, 0, kLatest);
  const int64_t coarse = std::clamp<int64_t>(m.coarse, 0, monotonic);
  if (stands_still_) still_.monotonic = monotonic, still_.coarse = coarse;
  monotonic_offset_ =
      std::max(monotonic - host::monotonic_now(), coarse - host::monotonic_coarse_now());
  tell_offsets(page_, realtime_offset_, monotonic_offset_);
}

void Timekeeper::continue_realtime_at(int64_t ns) {
  realtime_offset_ = ns - host::realtime_now();
  tell_offsets(page_, realtime_offset_, monotonic_offset_);
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
  while (!stands_still_) {
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
          const int64_t left = saturating_subtract(realtime_heap_.begin()->first, real);
          next = std::min(next, saturating_add(mono, left));
        }
        return {next == INT64_MAX ? next : next - monotonic_offset_};
      }
    }
    for (auto& client : expired) client->expired();
  }
  return {};
}

}  // namespace usk
