#include "platform/trap/hand_off.h"

#include <gtest/gtest.h>

namespace usk::platform {
namespace {

using Stop = HandOff::Stop;
constexpr int64_t kStart = 1'000'000'000;

void post_quickly(HandOff& h, int times = HandOff::kStreak) {
  for (int i = 0; i < times; i++) h.posted(1'000);
}

TEST(HandOff, PollsAfterAStreakOfQuickPosts) {
  HandOff h(2);
  post_quickly(h, HandOff::kStreak - 1);
  EXPECT_FALSE(h.should_poll(1, kStart));
  post_quickly(h, 1);
  EXPECT_TRUE(h.should_poll(1, kStart));
  h.posted(HandOff::kQuickNs);
  EXPECT_FALSE(h.should_poll(1, kStart));
}

TEST(HandOff, NeedsAProcessorThatTheGuestLeaves) {
  HandOff h(2);
  post_quickly(h);
  EXPECT_FALSE(h.should_poll(0, kStart));
  EXPECT_FALSE(h.should_poll(2, kStart));
  HandOff one(1);
  post_quickly(one);
  EXPECT_FALSE(one.should_poll(1, kStart));
}

TEST(HandOff, PausesGrowWithFruitlessAttemptsUpToABound) {
  HandOff h(2);
  int64_t now = kStart, last = 0;
  for (int i = 0; i < 20; i++) {
    post_quickly(h);
    ASSERT_TRUE(h.should_poll(1, now)) << i;
    h.stopped(Stop::kIdle, now, 1);
    EXPECT_GE(h.pause(), last);
    last = h.pause();
    post_quickly(h);
    EXPECT_FALSE(h.should_poll(1, now + last - 1));
    now += last;
  }
  EXPECT_EQ(last, HandOff::kLongestIdlePauseNs);
  post_quickly(h);
  h.stopped(Stop::kIdle, now, HandOff::kWorthwhile);  // Worth it: again as soon as posts are quick.
  post_quickly(h);
  EXPECT_TRUE(h.should_poll(1, now));
}

TEST(HandOff, OthersWorkIsAvoidedForLonger) {
  HandOff h(2);
  for (int i = 0; i < 20; i++) h.stopped(Stop::kPreempted, kStart, HandOff::kWorthwhile);
  EXPECT_EQ(h.pause(), HandOff::kLongestPauseNs);
  post_quickly(h);
  EXPECT_FALSE(h.should_poll(1, kStart + HandOff::kLongestIdlePauseNs));
  EXPECT_TRUE(h.should_poll(1, kStart + HandOff::kLongestPauseNs));
}

TEST(HandOff, WhatTheGuestDoesCostsNoPause) {
  HandOff h(2);
  for (Stop why : {Stop::kCrowded, Stop::kEmpty, Stop::kAwait}) {
    post_quickly(h);
    h.stopped(why, kStart, 0);
    EXPECT_FALSE(h.should_poll(1, kStart));
    post_quickly(h);
    EXPECT_TRUE(h.should_poll(1, kStart));
  }
}

}  // namespace
}  // namespace usk::platform
