// The timer of a timerfd; lives on while an expiration is on its way to it.
#pragma once
#include <sys/timerfd.h>

#include <string>

#include "base/fields.h"
#include "base/result.h"
#include "base/timer.h"

namespace usk {

class TimerFdCore final : public TimerClient {
 public:
  explicit TimerFdCore(clockid_t clock) : clock_(clock) {}

  explicit TimerFdCore(Blank) : clock_(CLOCK_MONOTONIC) {}
  // Of a loaded one: whether its clocks are such as timers may have.
  bool is_valid() EXCLUDES(mu_);

  struct Set {
    itimerspec before;
    bool cancelled;
  };
  Set set(int flags, const itimerspec& value) EXCLUDES(mu_);
  itimerspec get() EXCLUDES(mu_);
  // The expirations since the last call. EAGAIN: none; ECANCELED: the clock was set.
  Result<uint64_t> take() EXCLUDES(mu_);
  // TFD_IOC_SET_TICKS
  Result<void> set_ticks(uint64_t ticks) EXCLUDES(mu_);
  bool has_ticks() EXCLUDES(mu_);
  std::string fdinfo() EXCLUDES(mu_);
  bool is_alarm() const;
  WaitQueue& queue() { return queue_; }

  void expired() override EXCLUDES(mu_);
  // CLOCK_REALTIME was set.
  void clock_set() EXCLUDES(mu_);
  void rearm() EXCLUDES(mu_);
  void stop() EXCLUDES(mu_);

  USK_FIELDS(clock_, timer_clock_, armed_, expired_, expiry_, interval_, ticks_, settime_flags_,
             may_cancel_, cancelled_)

 private:
  clockid_t base_clock() const;
  int64_t now_locked() REQUIRES(mu_);
  void arm_locked() REQUIRES(mu_);
  void catch_up_locked() REQUIRES(mu_);
  itimerspec get_locked() REQUIRES(mu_);

  clockid_t clock_;
  Mutex<Rank::kFile> mu_;
  // The clock of expiry_: a relative timer is not moved by setting CLOCK_REALTIME.
  clockid_t timer_clock_ GUARDED_BY(mu_) = CLOCK_MONOTONIC;
  bool armed_ GUARDED_BY(mu_) = false;    // expiry_ is to come, or came and expired_ is set.
  bool expired_ GUARDED_BY(mu_) = false;  // expiry_ passed; the periods since are not reckoned.
  int64_t expiry_ GUARDED_BY(mu_) = 0;
  int64_t interval_ GUARDED_BY(mu_) = 0;
  uint64_t ticks_ GUARDED_BY(mu_) = 0;
  int settime_flags_ GUARDED_BY(mu_) = 0;
  bool may_cancel_ GUARDED_BY(mu_) = false;
  bool cancelled_ GUARDED_BY(mu_) = false;
  WaitQueue queue_;
};

}  // namespace usk
