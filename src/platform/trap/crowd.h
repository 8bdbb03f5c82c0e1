// Whether to poll although the guest could use the processor that it takes.
#pragma once
#include <cstdint>

namespace usk::platform {

// Where threads make many calls, each by a notification, these may cost more than what a whole
// processor does. Nobody can tell beforehand: so the time between two posts is measured as it is by
// notifications, then while polling for a moment, and the shorter one wins, until it is compared
// again. All times in nanoseconds of one clock; docs/decisions/0008 has the measurements.
class Crowd {
 public:
  // Posts of one measurement; of one that only shows that calls are as frequent as they were.
  static constexpr int64_t kWindow = 64, kShortWindow = 16;
  // Who posts less often than this loses too little by notifications.
  static constexpr int64_t kOftenNs = 50'000;
  // Longer gaps belong to nobody's calls: the guest slept or computed.
  static constexpr int64_t kBreakNs = 1'000'000;
  // Polling ends after so long without a post: the guest has other use for the processor.
  static constexpr int64_t kIdleNs = 60'000;
  // Of one measurement while polling: longer than what one thread does while others wait.
  static constexpr int64_t kTrialNs = 1'000'000;
  static constexpr int64_t kCompareEveryNs = 100'000'000;
  static constexpr int64_t kShortestPauseNs = 4'000'000, kLongestPauseNs = 500'000'000;

  // A post came by a notification.
  void notified(int64_t now);
  // Whether polling is to be tried, or to go on where it has proved itself.
  bool should_poll(int64_t now) const { return ready_ && now >= not_before_; }
  void begin(int64_t now);
  // Posts were taken by polling. False: it is no faster, or time to compare again.
  bool polled(int64_t posts, int64_t now);
  // Polling ended for another reason; `disturbed`: by others' work.
  void stopped(int64_t now, bool disturbed);

  // The measured time between two posts by notification; 0: none.
  int64_t by_notice() const { return by_notice_; }

 private:
  void compare_later(int64_t now);

  int64_t count_ = 0;  // Posts of this measurement ...
  int64_t began_ = 0;  // ... since then.
  int64_t last_ = 0;   // Post by notification.
  int64_t by_notice_ = 0;
  bool begins_ = false;  // At first all are woken who had posted before: that says nothing.
  bool ready_ = false;
  bool proved_ = false;  // Polling was faster than by_notice_.
  int64_t compare_at_ = 0;
  int64_t not_before_ = 0;
  int64_t pause_ = kShortestPauseNs;
};

}  // namespace usk::platform
