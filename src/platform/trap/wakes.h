// Threads that sleep and have an order: who wakes them, and when (docs/decisions/0020).
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "platform/trap/area.h"

namespace usk::platform {

// A wake-up by the kernel process goes to another processor, which may have gone idle: that takes
// it and the woken microseconds. A guest thread that is about to sleep itself wakes at a fraction
// of that, and its processor goes on with the woken at once. So while the kernel process polls, and
// guest threads have all other processors, who is to be woken waits for one that parks: a moment
// only, or a short turn while calls keep coming. Else many threads would all be woken for one call
// each, and sleep again before so many are answered.
//
// What a thread was asked for it may leave undone, as a guest can get hold of its stub: it is
// looked after. All times in nanoseconds of one clock.
class Wakes {
 public:
  // The moment, after the last post, and the turn.
  static constexpr int64_t kHoldNs = 5'000, kTurnNs = 100'000;
  // After so long a thread that was asked has not done it, or the woken has no processor.
  static constexpr int64_t kTrustNs = 50'000;

  // `wake` does so at the bell of the thread with that index.
  explicit Wakes(std::function<void(uint32_t)> wake) : wake_(std::move(wake)) {}

  // The thread with this area slept when it was given an order, and its bell was rung. One that has
  // just parked is asked to wake it, if there is.
  void add(trap::Area& a, uint32_t index, int64_t now);
  // The thread is about to sleep, and asked to wake another.
  void parks(trap::Area& a, int64_t now);
  // The thread has an order: it is about to sleep no more.
  void ordered(const trap::Area& a) {
    if (parked_ == &a) parked_ = nullptr;
  }
  // Some thread has posted.
  void posted(int64_t now) { posted_at_ = now; }
  // Wakes those whose time has come, and so many more at once: there are processors for them.
  void look(size_t free_processors, int64_t now);
  // Wakes all.
  void wake_all();
  // Nobody looks after the thread any more: it is woken now, if it was to be.
  void forget(const trap::Area& a);
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  uint64_t asked() const { return asked_; }  // How often another thread was.

 private:
  struct Entry {
    trap::Area* area;
    uint32_t index;  // Not what the area says of it, which is the guest's word.
    int64_t since;
    bool asked = false;  // Another thread.
  };
  bool ask(trap::Area& by, Entry& e, int64_t now);
  void wake(const Entry& e);

  std::function<void(uint32_t)> wake_;
  std::vector<Entry> entries_;
  trap::Area* parked_ = nullptr;  // The last one.
  int64_t posted_at_ = 0, woke_at_ = 0;
  uint64_t asked_ = 0;
};

}  // namespace usk::platform
