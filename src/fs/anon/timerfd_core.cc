#include "fs/anon/timerfd_core.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/saturate.h"

namespace usk {
namespace {

// Linux: KTIME_MAX, where longer times end.
int64_t to_ns(const timespec& t) {
  if (t.tv_sec >= INT64_MAX / kNsPerSecond) return INT64_MAX;
  return t.tv_sec * kNsPerSecond + t.tv_nsec;
}

timespec to_timespec(int64_t ns) { return {ns / kNsPerSecond, ns % kNsPerSecond}; }

}  // namespace

bool TimerFdCore::is_alarm() const {
  return clock_ == CLOCK_REALTIME_ALARM || clock_ == CLOCK_BOOTTIME_ALARM;
}

bool TimerFdCore::is_valid() {
  auto may_arm = [](clockid_t c) {
    return c == CLOCK_REALTIME || c == CLOCK_MONOTONIC || c == CLOCK_BOOTTIME;
  };
  Lock lock(mu_);
  return may_arm(base_clock()) && may_arm(timer_clock_) && expiry_ >= 0 && interval_ >= 0;
}

clockid_t TimerFdCore::base_clock() const {
  if (clock_ == CLOCK_REALTIME_ALARM) return CLOCK_REALTIME;
  if (clock_ == CLOCK_BOOTTIME_ALARM) return CLOCK_BOOTTIME;
  return clock_;
}

int64_t TimerFdCore::now_locked() { return timer_service().now(timer_clock_); }

void TimerFdCore::arm_locked() {
  timer_service().arm(Ref<TimerClient>::share(this), timer_clock_, expiry_);
}

// Reckons the periods since the expiration and waits for the next one.
void TimerFdCore::catch_up_locked() {
  if (!expired_ || interval_ == 0) return;
  const int64_t late = std::max<int64_t>(now_locked() - expiry_, 0);
  const int64_t periods = late / interval_ + 1;
  expiry_ = saturating_add(expiry_, periods * interval_);
  ticks_ += uint64_t(periods - 1);  // The first one was counted when it came.
  expired_ = false;
  arm_locked();
}

itimerspec TimerFdCore::get_locked() {
  catch_up_locked();
  const bool running = armed_ && !expired_;
  const int64_t left = running ? std::max<int64_t>(expiry_ - now_locked(), 0) : 0;
  return {.it_interval = to_timespec(interval_), .it_value = to_timespec(left)};
}

itimerspec TimerFdCore::get() {
  Lock lock(mu_);
  return get_locked();
}

TimerFdCore::Set TimerFdCore::set(int flags, const itimerspec& value) {
  Lock lock(mu_);
  const Set result{get_locked(), false};
  timer_service().disarm(*this);
  const bool absolute = flags & TFD_TIMER_ABSTIME;
  settime_flags_ = flags & (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
  may_cancel_ = base_clock() == CLOCK_REALTIME && absolute && (flags & TFD_TIMER_CANCEL_ON_SET);
  timer_clock_ = base_clock() == CLOCK_REALTIME && !absolute ? CLOCK_MONOTONIC : base_clock();
  const int64_t at = to_ns(value.it_value);
  interval_ = to_ns(value.it_interval);
  ticks_ = 0;
  expired_ = false;
  armed_ = at != 0;
  if (!armed_) return result;
  expiry_ = absolute ? at : saturating_add(now_locked(), at);
  arm_locked();
  if (!may_cancel_) return result;
  return {result.before, std::exchange(cancelled_, false)};
}

Result<uint64_t> TimerFdCore::take() {
  Lock lock(mu_);
  if (may_cancel_ && cancelled_) {
    cancelled_ = false;
    ticks_ = 0;
    expired_ = false;
    return Err(ECANCELED);
  }
  if (ticks_ == 0) return Err(EAGAIN);
  catch_up_locked();
  return std::exchange(ticks_, 0);
}

Result<void> TimerFdCore::set_ticks(uint64_t ticks) {
  {
    Lock lock(mu_);
    if (may_cancel_ && std::exchange(cancelled_, false)) return Err(ECANCELED);
    ticks_ = ticks;
  }
  queue_.wake(POLLIN);
  return {};
}

bool TimerFdCore::has_ticks() {
  Lock lock(mu_);
  return ticks_ > 0;
}

std::string TimerFdCore::fdinfo() {
  Lock lock(mu_);
  const itimerspec t = get_locked();
  return fmt::format(
      "clockid: {}\nticks: {}\nsettime flags: 0{:o}\nit_value: ({}, {})\nit_interval: ({}, {})\n",
      clock_, ticks_, settime_flags_, t.it_value.tv_sec, t.it_value.tv_nsec, t.it_interval.tv_sec,
      t.it_interval.tv_nsec);
}

void TimerFdCore::expired() {
  {
    Lock lock(mu_);
    if (!armed_ || expired_) return;
    if (now_locked() < expiry_) {  // It was for an earlier setting.
      arm_locked();
      return;
    }
    expired_ = true;
    ++ticks_;
  }
  queue_.wake(POLLIN);
}

void TimerFdCore::clock_set() {
  {
    Lock lock(mu_);
    if (!may_cancel_) return;
    cancelled_ = true;
    ++ticks_;
  }
  queue_.wake(POLLIN);
}

void TimerFdCore::rearm() {
  Lock lock(mu_);
  if (armed_ && !expired_) arm_locked();
}

void TimerFdCore::stop() {
  Lock lock(mu_);
  armed_ = false;
  timer_service().disarm(*this);
}

}  // namespace usk
