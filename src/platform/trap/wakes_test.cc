#include "platform/trap/wakes.h"

#include <gtest/gtest.h>

#include <memory>

namespace usk::platform {
namespace {

constexpr int64_t kStart = 1'000'000'000;

class WakesTest : public testing::Test {
 protected:
  // Threads with these indices; who waits sleeps.
  trap::Area& thread(uint32_t index, bool sleeps = true) {
    auto& a = areas_.emplace_back(std::make_unique<trap::Area>());
    a->index = index + 1000;  // Whatever the guest writes there.
    a->waiting = sleeps;
    return *a;
  }
  void sleeper(uint32_t index) { wakes_.add(thread(index), index, kStart); }
  std::vector<uint32_t> woken() { return std::exchange(woken_, {}); }

  std::vector<std::unique_ptr<trap::Area>> areas_;
  std::vector<uint32_t> woken_;
  Wakes wakes_{[this](uint32_t index) { woken_.push_back(index); }};
};

using Woken = std::vector<uint32_t>;

TEST_F(WakesTest, WhoParksIsAsked) {
  trap::Area& b = thread(7);
  trap::Area& a = thread(3, false);
  wakes_.add(b, 7, kStart);
  wakes_.parks(a, kStart + 1'000);
  EXPECT_EQ(a.to_wake, 7u + 1);
  b.waiting = 0;  // It was.
  wakes_.look(0, kStart + 2'000);
  EXPECT_EQ(woken(), Woken{});
  EXPECT_TRUE(wakes_.empty());
  EXPECT_EQ(wakes_.asked(), 1u);
}

TEST_F(WakesTest, WhoHasJustParkedIsAskedUnlessItSleeps) {
  trap::Area& a = thread(3, false);
  trap::Area& b = thread(7);
  wakes_.parks(a, kStart);
  wakes_.add(b, 7, kStart);
  EXPECT_EQ(a.to_wake, 7u + 1);

  trap::Area& c = thread(4, false);
  trap::Area& d = thread(8);
  wakes_.parks(c, kStart);
  c.waiting = 1;
  wakes_.add(d, 8, kStart);
  EXPECT_EQ(c.to_wake, 0u);
  wakes_.forget(d);

  trap::Area& e = thread(5, false);
  trap::Area& f = thread(9);
  wakes_.parks(e, kStart);
  wakes_.ordered(e);
  wakes_.add(f, 9, kStart);
  EXPECT_EQ(e.to_wake, 0u);
}

TEST_F(WakesTest, WhoWasAskedInVainIsNotTrusted) {
  trap::Area& a = thread(3, false);
  trap::Area& b = thread(7);
  wakes_.add(b, 7, kStart);
  wakes_.parks(a, kStart);
  wakes_.look(1, kStart + Wakes::kTrustNs - 1);
  EXPECT_EQ(woken(), Woken{});
  wakes_.look(0, kStart + Wakes::kTrustNs);
  EXPECT_EQ(woken(), Woken{7});
}

TEST_F(WakesTest, FreeProcessorsAreUsedAtOnce) {
  for (uint32_t i = 1; i <= 3; i++) sleeper(i);
  wakes_.look(2, kStart);
  EXPECT_EQ(woken(), (Woken{1, 2}));
  EXPECT_EQ(wakes_.size(), 1u);
}

TEST_F(WakesTest, TurnsAreShortWhereNobodyCalls) {
  sleeper(1);
  sleeper(2);
  wakes_.look(0, kStart + Wakes::kHoldNs - 1);
  EXPECT_EQ(woken(), Woken{});
  wakes_.look(0, kStart + Wakes::kHoldNs);
  EXPECT_EQ(woken(), Woken{1});
  wakes_.look(0, kStart + 2 * Wakes::kHoldNs);
  EXPECT_EQ(woken(), Woken{2});
}

TEST_F(WakesTest, OneAtATimeWhileCallsCome) {
  sleeper(1);
  sleeper(2);
  for (int64_t t = kStart; t < kStart + Wakes::kTurnNs; t += 1'000) {
    wakes_.posted(t);
    wakes_.look(0, t);
  }
  EXPECT_EQ(woken(), Woken{});
  int64_t t = kStart + Wakes::kTurnNs;
  for (; t < kStart + 2 * Wakes::kTurnNs; t += 1'000) {
    wakes_.posted(t);
    wakes_.look(0, t);
  }
  EXPECT_EQ(woken(), Woken{1});
  wakes_.posted(t);
  wakes_.look(0, t);
  EXPECT_EQ(woken(), Woken{2});
}

TEST_F(WakesTest, AllAreWokenBeforeTheKernelProcessSleeps) {
  trap::Area& gone = thread(3);
  sleeper(1);
  wakes_.add(gone, 3, kStart);
  wakes_.add(thread(2, false), 2, kStart);  // It has seen its order.
  wakes_.forget(gone);
  EXPECT_EQ(woken(), Woken{3});  // Nobody will do it later.
  wakes_.wake_all();
  EXPECT_EQ(woken(), Woken{1});
  EXPECT_TRUE(wakes_.empty());
}

}  // namespace
}  // namespace usk::platform
