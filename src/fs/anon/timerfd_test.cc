#include "fs/anon/timerfd.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "base/fake_timers.h"
#include "fs/vfs/file_testing.h"

namespace usk {
namespace {

using namespace testing;

class TimerFdTest : public ::testing::Test {
 protected:
  static Ref<TimerFd> make(clockid_t clock = CLOCK_MONOTONIC) {
    return *TimerFd::make(clock, 0, test_creds());
  }
  static itimerspec spec(int64_t value_ns, int64_t interval_ns = 0) {
    return {{interval_ns / kNsPerSecond, interval_ns % kNsPerSecond},
            {value_ns / kNsPerSecond, value_ns % kNsPerSecond}};
  }
  static Result<TimerFd::Set> set(TimerFd& t, int64_t value, int64_t interval = 0, int flags = 0) {
    return t.settime(*test_creds(), flags, spec(value, interval));
  }
  static Result<uint64_t> ticks(File& f) { return read_object<uint64_t>(f); }
  static int64_t left(TimerFd& t) {
    const itimerspec its = t.gettime();
    return its.it_value.tv_sec * kNsPerSecond + its.it_value.tv_nsec;
  }
  FakeTimers timers_;
};

TEST_F(TimerFdTest, ExpiresOnce) {
  auto t = make();
  EXPECT_TRUE(set(*t, 100));
  EXPECT_EQ(t->poll(), 0u);
  EXPECT_TRUE(failed_with(ticks(*t), EAGAIN));
  timers_.advance(99);
  EXPECT_EQ(left(*t), 1);
  timers_.advance(1);
  EXPECT_EQ(t->poll(), PollMask(POLLIN));
  EXPECT_EQ(ticks(*t), 1u);
  timers_.advance(1000);
  EXPECT_TRUE(failed_with(ticks(*t), EAGAIN));
  EXPECT_EQ(left(*t), 0);
  EXPECT_EQ(timers_.armed(), 0u);
}

TEST_F(TimerFdTest, CountsMissedPeriods) {
  auto t = make();
  set(*t, 100, 10);
  timers_.advance(135);
  EXPECT_EQ(ticks(*t), 4u);
  timers_.advance(5);
  EXPECT_EQ(ticks(*t), 1u);
  timers_.advance(1);
  EXPECT_EQ(left(*t), 9);
}

TEST_F(TimerFdTest, LookingReckonsPeriodsToo) {
  auto t = make();
  set(*t, 10, 10);
  timers_.advance(35);
  EXPECT_EQ(left(*t), 5);
  EXPECT_EQ(ticks(*t), 3u);
}

TEST_F(TimerFdTest, SettingReturnsTheOldAndForgetsTicks) {
  auto t = make();
  set(*t, 100, 7);
  timers_.advance(30);
  auto old = set(*t, 50);
  ASSERT_TRUE(old);
  EXPECT_EQ(old->before.it_value.tv_nsec, 70);
  EXPECT_EQ(old->before.it_interval.tv_nsec, 7);
  timers_.advance(50);
  set(*t, 0);
  EXPECT_TRUE(failed_with(ticks(*t), EAGAIN));
  EXPECT_EQ(timers_.armed(), 0u);
}

TEST_F(TimerFdTest, AbsoluteTimesMayBePast) {
  auto t = make();
  set(*t, timers_.now(CLOCK_MONOTONIC) - 5, 0, TFD_TIMER_ABSTIME);
  timers_.advance(0);
  EXPECT_EQ(ticks(*t), 1u);
}

TEST_F(TimerFdTest, RelativeRealtimeIgnoresClockChanges) {
  auto t = make(CLOCK_REALTIME);
  set(*t, 100);
  timers_.set_realtime(timers_.now(CLOCK_REALTIME) + kNsPerSecond);
  EXPECT_TRUE(failed_with(ticks(*t), EAGAIN));
  auto absolute = make(CLOCK_REALTIME);
  set(*absolute, timers_.now(CLOCK_REALTIME) + 100, 0, TFD_TIMER_ABSTIME);
  timers_.set_realtime(timers_.now(CLOCK_REALTIME) + kNsPerSecond);
  EXPECT_EQ(ticks(*absolute), 1u);
}

TEST_F(TimerFdTest, CancelOnSet) {
  auto t = make(CLOCK_REALTIME);
  const int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
  const int64_t at = timers_.now(CLOCK_REALTIME) + 100 * kNsPerSecond;
  EXPECT_FALSE(set(*t, at, 0, flags)->cancelled);
  timers_.set_realtime(timers_.now(CLOCK_REALTIME) + 1);
  EXPECT_EQ(t->poll(), PollMask(POLLIN));
  EXPECT_TRUE(failed_with(ticks(*t), ECANCELED));
  EXPECT_TRUE(failed_with(ticks(*t), EAGAIN));
  timers_.set_realtime(timers_.now(CLOCK_REALTIME) + 1);
  EXPECT_TRUE(set(*t, at, 0, flags)->cancelled);
  EXPECT_FALSE(set(*t, at, 0, flags)->cancelled);
}

TEST_F(TimerFdTest, BadArguments) {
  auto t = make();
  EXPECT_TRUE(failed_with(set(*t, 1, 0, 8), EINVAL));
  EXPECT_TRUE(failed_with(t->settime(*test_creds(), 0, {{0, 0}, {0, 1'000'000'000}}), EINVAL));
  EXPECT_TRUE(failed_with(t->settime(*test_creds(), 0, {{-1, 0}, {0, 1}}), EINVAL));
  EXPECT_TRUE(failed_with(TimerFd::make(CLOCK_PROCESS_CPUTIME_ID, 0, test_creds()), EINVAL));
  EXPECT_TRUE(failed_with(TimerFd::make(CLOCK_BOOTTIME_ALARM, 0, user_creds(5)), EPERM));
  EXPECT_TRUE(TimerFd::make(CLOCK_BOOTTIME_ALARM, 0, test_creds()));
  EXPECT_TRUE(failed_with(read_from(*t, 7), EINVAL));
}

TEST_F(TimerFdTest, HugeTimesSaturate) {
  auto t = make();
  EXPECT_TRUE(t->settime(*test_creds(), 0, {{INT64_MAX, 0}, {INT64_MAX, 0}}));
  timers_.advance(1000);
  EXPECT_TRUE(failed_with(ticks(*t), EAGAIN));
  EXPECT_TRUE(t->settime(*test_creds(), 0, {{INT64_MAX, 0}, {0, 1}}));
  timers_.advance(1000);
  EXPECT_EQ(ticks(*t), 1u);
}

TEST_F(TimerFdTest, SetTicksIoctl) {
  auto t = make();
  FakeCaller caller;
  uint64_t n = 5;
  EXPECT_TRUE(caller.ioctl(*t, _IOW('T', 0, uint64_t), n));
  EXPECT_EQ(ticks(*t), 5u);
  n = 0;
  EXPECT_TRUE(failed_with(caller.ioctl(*t, _IOW('T', 0, uint64_t), n), EINVAL));
  EXPECT_TRUE(failed_with(caller.ioctl(*t, 0x1234, n), ENOTTY));
}

TEST_F(TimerFdTest, WakesPollers) {
  auto t = make();
  auto waiter = make_ref<CountingWaiter>();
  t->queue().add(waiter, POLLIN);
  set(*t, 10);
  timers_.advance(10);
  EXPECT_EQ(waiter->count, 1);
}

TEST_F(TimerFdTest, GoesAwayArmed) {
  auto t = make();
  set(*t, 10);
  t.reset();
  EXPECT_EQ(timers_.armed(), 0u);
}

TEST_F(TimerFdTest, ShowsItselfInFdinfo) {
  auto t = make();
  set(*t, 3 * kNsPerSecond + 4, kNsPerSecond);
  EXPECT_EQ(t->fdinfo(),
            "clockid: 1\nticks: 0\nsettime flags: 00\nit_value: (3, 4)\nit_interval: (1, 0)\n");
}

}  // namespace
}  // namespace usk
