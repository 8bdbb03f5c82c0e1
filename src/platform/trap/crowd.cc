#include "platform/trap/crowd.h"

#include <algorithm>
#include <utility>

namespace usk::platform {

void Crowd::notified(int64_t now) {
  const bool follows = count_ > 0 && now - last_ < kBreakNs;
  last_ = now;
  if (!follows) {
    ready_ = false;
    count_ = 1, began_ = now;
    return;
  }
  if (++count_ <= (proved_ ? kShortWindow : kWindow)) return;
  const int64_t each = std::max<int64_t>((now - began_) / (count_ - 1), 1);
  ready_ = each <= kOftenNs;
  if (!proved_ && ready_) by_notice_ = each;
  count_ = 1, began_ = now;
}

void Crowd::begin(int64_t now) {
  count_ = 0, began_ = now;
  begins_ = true;
  if (!proved_) compare_at_ = now + kCompareEveryNs;
}

bool Crowd::polled(int64_t posts, int64_t now) {
  count_ += posts;
  const int64_t took = now - began_;
  if (took < kTrialNs) return true;
  if (std::exchange(begins_, false)) {
    count_ = 0, began_ = now;
    return true;
  }
  // By a third at least: the guest has a processor less meanwhile.
  proved_ = took < count_ * by_notice_ / 4 * 3;
  if (!proved_) {
    compare_later(now);
    return false;
  }
  pause_ = kShortestPauseNs;
  count_ = 0, began_ = now;
  if (now < compare_at_) return true;
  proved_ = ready_ = false;
  return false;
}

void Crowd::compare_later(int64_t now) {
  proved_ = ready_ = false;
  count_ = 0;
  not_before_ = now + pause_;
  pause_ = std::min(pause_ * 2, kLongestPauseNs);
}

void Crowd::stopped(int64_t now, bool disturbed) {
  if (disturbed) return compare_later(now);
  if (now >= compare_at_) proved_ = false;
  ready_ = false;
  count_ = 0;
}

}  // namespace usk::platform
