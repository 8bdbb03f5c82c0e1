#include "enforce/segv_guard.h"

#include <gtest/gtest.h>

namespace usk {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr SegvGuard::Limits kLimits = {.expiry_s = 120, .suspension_s = 600, .most = 5};

TEST(SegvGuard, SuspendsWhatCrashesTooOften) {
  SegvGuard g;
  for (int i = 0; i < 4; i++) EXPECT_FALSE(g.crashed("/a", i * kSecond, kLimits));
  EXPECT_FALSE(g.is_suspended("/a", 4 * kSecond));
  EXPECT_TRUE(g.crashed("/a", 5 * kSecond, kLimits));
  EXPECT_TRUE(g.is_suspended("/a", 6 * kSecond));
  EXPECT_FALSE(g.is_suspended("/b", 6 * kSecond));
  EXPECT_TRUE(g.is_suspended("/a", 604 * kSecond));
  EXPECT_FALSE(g.is_suspended("/a", 605 * kSecond));
  EXPECT_FALSE(g.crashed("/a", 606 * kSecond, kLimits)) << "it starts anew";
}

TEST(SegvGuard, OldCrashesDoNotCount) {
  SegvGuard g;
  for (int i = 0; i < 40; i++) EXPECT_FALSE(g.crashed("/a", i * 31 * kSecond, kLimits)) << i;
}

TEST(SegvGuard, MayBeOff) {
  SegvGuard g;
  for (int i = 0; i < 40; i++) EXPECT_FALSE(g.crashed("/a", i, {.expiry_s = 0, .most = 1}));
}

TEST(SegvGuard, ExtremeLimits) {
  SegvGuard g;
  const SegvGuard::Limits all = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
  bool suspended = false;
  for (uint64_t i = 0; i < SegvGuard::kMostCrashes; i++) suspended |= g.crashed("/a", 1, all);
  EXPECT_TRUE(suspended);
  EXPECT_TRUE(g.crashed("/b", 1, {.expiry_s = 1, .suspension_s = 1, .most = 0}));
}

// Names that are made up push nothing out that is suspended.
TEST(SegvGuard, ManyProgramsAreForgotten) {
  SegvGuard g;
  for (int i = 0; i < 5; i++) g.crashed("/suspended", i, kLimits);
  for (int i = 0; i < 4; i++) g.crashed("/often", i, kLimits);
  for (int i = 0; i < 3000; i++) g.crashed("/" + std::to_string(i), 10 + i, kLimits);
  EXPECT_TRUE(g.is_suspended("/suspended", 5000));
  EXPECT_FALSE(g.crashed("/often", 5000, kLimits));
}

}  // namespace
}  // namespace usk
