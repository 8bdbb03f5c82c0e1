#include "platform/trap/hand_off.h"

#include <algorithm>

namespace usk::platform {

void HandOff::posted(int64_t think_ns) {
  const bool quick = think_ns < kQuickNs;
  streak_ = quick ? std::min(streak_ + 1, kStreak) : std::max(streak_ - kSetback, 0);
}

bool HandOff::should_poll(size_t running, int64_t now) const {
  return streak_ >= kStreak && running > 0 && !crowded(running) && now >= not_before_;
}

HandOff::Place HandOff::place(uint32_t its, uint32_t own, Others others) {
  if (others.at_own) return its == own ? Place::kLeaves : Place::kStays;
  return its == own || !others.any || others.at_its ? Place::kComes : Place::kStays;
}

void HandOff::stopped(Stop why, int64_t now, uint64_t posts) {
  // The guest's doing, which says nothing of what the next attempt will bring.
  if (why == Stop::kAwait || why == Stop::kEmpty) return;
  streak_ = why == Stop::kIdle && posts >= kWorthwhile ? kStreak - kSetback : 0;
  if (why == Stop::kSlower) return;
  // Many posts between two disturbances pay for them, be they others' or the guest's other threads.
  constexpr uint64_t kMany = 4096, kSome = 256;
  const bool disturbed =
      why == Stop::kShared || why == Stop::kPreempted || (why == Stop::kCrowded && posts < kSome);
  if (posts >= (disturbed ? kMany : kWorthwhile)) pause_ /= 4;
  pause_ = std::max(pause_, kShortestPauseNs / 2);
  if (disturbed) {
    pause_ = std::clamp(pause_ * 4, kDisturbedPauseNs, kLongestPauseNs);
  } else if (posts < kWorthwhile) {
    pause_ = std::max(pause_, std::min(pause_ * 2, kLongestIdlePauseNs));
  } else {
    return;  // At once, if posts are as quick.
  }
  not_before_ = now + pause_;
}

}  // namespace usk::platform
