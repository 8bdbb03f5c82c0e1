#include "platform/trap/wakes.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace usk::platform {
namespace {

bool sleeps(trap::Area& a) { return std::atomic_ref(a.waiting).load(); }

}  // namespace

void Wakes::wake(const Entry& e) {
  if (sleeps(*e.area)) wake_(e.index);
}

// It looks for what it is asked once more after it has said that it sleeps.
bool Wakes::ask(trap::Area& by, Entry& e, int64_t now) {
  std::atomic_ref to_wake(by.to_wake);
  to_wake.store(e.index % trap::kBells + 1);
  if (sleeps(by) && to_wake.exchange(0)) return false;
  asked_++;
  e.asked = true;
  e.since = now;
  return true;
}

void Wakes::add(trap::Area& a, uint32_t index, int64_t now) {
  Entry e{.area = &a, .index = index, .since = now};
  trap::Area* const by = std::exchange(parked_, nullptr);
  if (by && by != &a && !sleeps(*by)) (void)ask(*by, e, now);
  entries_.push_back(e);
}

void Wakes::parks(trap::Area& a, int64_t now) {
  const auto e = std::ranges::find(entries_, false, &Entry::asked);
  if (e != entries_.end() && ask(a, *e, now)) return;
  parked_ = &a;
}

void Wakes::look(size_t free_processors, int64_t now) {
  const int64_t turn = now - posted_at_ < kHoldNs ? kTurnNs : kHoldNs;
  std::erase_if(entries_, [&](const Entry& e) {
    if (!sleeps(*e.area)) return true;
    if (e.asked) {
      if (now - e.since < kTrustNs) return false;
    } else if (free_processors > 0) {
      free_processors--;
    } else if (now - std::max(e.since, woke_at_) < turn) {
      return false;
    }
    woke_at_ = now;
    wake(e);
    return true;
  });
}

void Wakes::wake_all() {
  for (const Entry& e : std::exchange(entries_, {})) wake(e);
}

void Wakes::forget(const trap::Area& a) {
  ordered(a);
  std::erase_if(entries_, [&](const Entry& e) {
    if (e.area != &a) return false;
    wake(e);
    return true;
  });
}

}  // namespace usk::platform
