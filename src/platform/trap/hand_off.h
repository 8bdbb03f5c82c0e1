// When the kernel process looks for posts by itself instead of being woken.
#pragma once
#include <cstddef>
#include <cstdint>

namespace usk::platform {

// Waking a sleeping kernel process costs microseconds, polling costs a processor. So it polls only
// while calls come quickly one after the other and a processor is free for it: promoted after
// kStreak posts that came within kQuick of their order, demoted when nothing came for kIdle, and
// then not again for a while that grows each time polling brought little. All times in
// nanoseconds; docs/decisions/0008 has the measurements.
class HandOff {
 public:
  static constexpr int kStreak = 16;
  static constexpr int64_t kQuickNs = 30'000;
  static constexpr int64_t kIdleNs = 50'000;
  static constexpr int64_t kShortestPauseNs = 2'000'000, kLongestPauseNs = 500'000'000;

  explicit HandOff(int cpus) : cpus_(cpus) {}

  // A post was taken, `think_ns` after the order before it.
  void posted(int64_t think_ns);
  // Whether to poll now, with this many threads in the guest.
  bool should_poll(size_t running, int64_t now) const;
  // Polling ended since nothing came; `posts` had been taken by it.
  void stopped(int64_t now, uint64_t posts);

 public:
  const int cpus_;
  int streak_ = 0;
  int64_t not_before_ = 0;
  int64_t pause_ = kShortestPauseNs;
};

}  // namespace usk::platform
