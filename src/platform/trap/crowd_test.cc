#include "platform/trap/crowd.h"

#include <gtest/gtest.h>

namespace usk::platform {
namespace {

// A guest whose posts come so many nanoseconds one after the other.
struct Guest {
  Crowd crowd;
  int64_t now = 1'000'000'000;

  void by_notice(int64_t each, int64_t posts = Crowd::kWindow + 1) {
    for (int64_t i = 0; i < posts; i++) crowd.notified(now += each);
  }
  // Until polling ends or this time is over; whether it goes on.
  bool by_polling(int64_t each, int64_t for_ns) {
    for (const int64_t end = now + for_ns; now < end;) {
      if (!crowd.polled(1, now += each)) return false;
    }
    return true;
  }
};

TEST(Crowd, IsTriedWhereManyNoticesCome) {
  Guest g;
  g.by_notice(10'000, Crowd::kWindow);
  EXPECT_FALSE(g.crowd.should_poll(g.now));
  g.by_notice(10'000, 1);
  EXPECT_TRUE(g.crowd.should_poll(g.now));
  EXPECT_EQ(g.crowd.by_notice(), 10'000);
}

TEST(Crowd, IsNotTriedForFewOrForBursts) {
  Guest seldom;
  seldom.by_notice(Crowd::kOftenNs + 1'000);
  EXPECT_FALSE(seldom.crowd.should_poll(seldom.now));
  Guest bursts;
  for (int i = 0; i < 10; i++) {
    bursts.by_notice(10'000, Crowd::kWindow / 2);
    bursts.now += Crowd::kBreakNs;
    EXPECT_FALSE(bursts.crowd.should_poll(bursts.now));
  }
}

TEST(Crowd, GoesOnWhileItIsFasterAndComparesAgain) {
  Guest g;
  g.by_notice(10'000);
  g.crowd.begin(g.now);
  const int64_t began = g.now;
  EXPECT_FALSE(g.by_polling(2'000, 10 * Crowd::kCompareEveryNs));
  EXPECT_GE(g.now - began, Crowd::kCompareEveryNs);
  EXPECT_LE(g.now - began, Crowd::kCompareEveryNs + 3 * Crowd::kTrialNs);
  EXPECT_FALSE(g.crowd.should_poll(g.now));  // First it is measured anew.
  g.by_notice(10'000);
  EXPECT_TRUE(g.crowd.should_poll(g.now));
}

TEST(Crowd, EndsWhereItIsNoFasterForLongerAndLonger) {
  Guest g;
  int64_t last = 0;
  for (int i = 0; i < 12; i++) {
    g.now += Crowd::kLongestPauseNs;
    g.by_notice(10'000);
    ASSERT_TRUE(g.crowd.should_poll(g.now));
    g.crowd.begin(g.now);
    const int64_t began = g.now;
    EXPECT_FALSE(g.by_polling(9'000, 10 * Crowd::kTrialNs));
    EXPECT_LE(g.now - began, 3 * Crowd::kTrialNs);
    int64_t pause = Crowd::kShortestPauseNs / 2;
    g.by_notice(10'000);
    for (const int64_t at = g.now; !g.crowd.should_poll(at + pause);) pause += 1'000'000;
    EXPECT_GE(pause, last);
    last = pause;
  }
  EXPECT_GT(last, 50 * Crowd::kShortestPauseNs);
  EXPECT_LE(last, Crowd::kLongestPauseNs);
}

TEST(Crowd, ThatHasProvedItselfComesBackSoonAfterAPause) {
  Guest g;
  g.by_notice(10'000);
  g.crowd.begin(g.now);
  EXPECT_TRUE(g.by_polling(2'000, 3 * Crowd::kTrialNs));
  g.crowd.stopped(g.now, /*disturbed=*/false);
  EXPECT_FALSE(g.crowd.should_poll(g.now));
  g.by_notice(5'000, Crowd::kShortWindow + 1);
  EXPECT_TRUE(g.crowd.should_poll(g.now));
  EXPECT_EQ(g.crowd.by_notice(), 10'000);
}

TEST(Crowd, LeavesTheProcessorToOthersForAWhile) {
  Guest g;
  g.by_notice(10'000);
  g.crowd.begin(g.now);
  EXPECT_TRUE(g.by_polling(2'000, 3 * Crowd::kTrialNs));
  g.crowd.stopped(g.now, /*disturbed=*/true);
  const int64_t stopped = g.now;
  g.by_notice(1'000);
  EXPECT_FALSE(g.crowd.should_poll(stopped + Crowd::kShortestPauseNs - 1));
  EXPECT_TRUE(g.crowd.should_poll(stopped + Crowd::kShortestPauseNs));
}

}  // namespace
}  // namespace usk::platform
