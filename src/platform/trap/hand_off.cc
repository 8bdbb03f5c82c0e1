#include "platform/trap/hand_off.h"

#include <algorithm>

namespace usk::platform {

void HandOff::posted(int64_t think_ns) {
  streak_ = think_ns < kQuickNs ? std::min(streak_ + 1, kStreak) : 0;
}

bool HandOff::should_poll(size_t running, int64_t now) const {
  return streak_ >= kStreak && running > 0 && running < size_t(cpus_) && now >= not_before_;
}

void HandOff::stopped(int64_t now, uint64_t posts) {
  constexpr uint64_t kWorthwhile = 64;
  pause_ = posts >= kWorthwhile ? kShortestPauseNs : std::min(pause_ * 2, kLongestPauseNs);
  not_before_ = posts >= kWorthwhile ? now : now + pause_;
  streak_ = 0;
}

}  // namespace usk::platform
