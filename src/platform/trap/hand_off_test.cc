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

TEST(HandOff, SlowPostsSetBack) {
  HandOff h(2);
  post_quickly(h);
  h.posted(HandOff::kQuickNs);
  post_quickly(h, HandOff::kSetback);
  EXPECT_TRUE(h.should_poll(1, kStart));
  for (int i = 0; i < 2 * HandOff::kStreak; i++) {
    h.posted(i % HandOff::kSetback ? 1'000 : HandOff::kQuickNs);
  }
  EXPECT_FALSE(h.should_poll(1, kStart));
}

TEST(HandOff, BeginsAnewSoonerWherePollingPaid) {
  HandOff h(2);
  post_quickly(h);
  h.stopped(Stop::kIdle, kStart, HandOff::kWorthwhile);
  EXPECT_FALSE(h.should_poll(1, kStart));
  post_quickly(h, HandOff::kSetback);
  EXPECT_TRUE(h.should_poll(1, kStart));
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

TEST(HandOff, ThreadsThatNeedAllProcessorsKeepThem) {
  HandOff h(2);
  post_quickly(h);
  h.stopped(Stop::kCrowded, kStart, 20);
  post_quickly(h);
  EXPECT_FALSE(h.should_poll(1, kStart + HandOff::kDisturbedPauseNs - 1));
  EXPECT_TRUE(h.should_poll(1, kStart + HandOff::kDisturbedPauseNs));
  HandOff seldom(2);  // It was one for a moment, among many calls.
  post_quickly(seldom);
  seldom.stopped(Stop::kCrowded, kStart, 1000);
  post_quickly(seldom);
  EXPECT_TRUE(seldom.should_poll(1, kStart));
}

TEST(HandOff, WhatTheGuestDoesCostsNoPause) {
  HandOff h(2);
  for (Stop why : {Stop::kEmpty, Stop::kAwait}) {
    post_quickly(h);
    h.stopped(why, kStart, 0);
    EXPECT_TRUE(h.should_poll(1, kStart));
  }
}

TEST(HandOff, EachThreadHasAProcessorToItself) {
  using Place = HandOff::Place;
  constexpr HandOff::Others kNobody{};
  EXPECT_EQ(HandOff::place(1, 1, kNobody), Place::kComes);
  EXPECT_EQ(HandOff::place(0, 1, kNobody), Place::kComes);
  constexpr HandOff::Others kElsewhere{.any = true, .at_own = false, .at_its = false};
  EXPECT_EQ(HandOff::place(1, 1, kElsewhere), Place::kComes);
  EXPECT_EQ(HandOff::place(0, 1, kElsewhere), Place::kStays);
  constexpr HandOff::Others kThere{.any = true, .at_own = false, .at_its = true};
  EXPECT_EQ(HandOff::place(0, 1, kThere), Place::kComes);
  constexpr HandOff::Others kHere{.any = true, .at_own = true, .at_its = false};
  EXPECT_EQ(HandOff::place(0, 1, kHere), Place::kStays);
  EXPECT_EQ(HandOff::place(1, 1, kHere), Place::kLeaves);
}

}  // namespace
}  // namespace usk::platform
