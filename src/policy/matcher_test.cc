#include "policy/matcher.h"

#include <gtest/gtest.h>

#include <random>

#include "policy/matcher_testing.h"

namespace usk::policy {
namespace {

Pattern pattern(const char* text, Category c, int32_t rule) {
  return {*parse_glob(text), set_of(c), rule};
}

TEST(Matcher, TheLastRuleOfTheCategoryWins) {
  Matcher m({pattern("/home/***", Category::kRead, 0),
             pattern("/home/u/.ssh/***", Category::kRead, 1),
             pattern("/home/u/.ssh/known_hosts", Category::kRead, 2),
             pattern("/home/***", Category::kWrite, 3)});
  EXPECT_EQ(m.find("/home/u/x")[Category::kRead], 0);
  EXPECT_EQ(m.find("/home/u/.ssh/id")[Category::kRead], 1);
  EXPECT_EQ(m.find("/home/u/.ssh/known_hosts")[Category::kRead], 2);
  EXPECT_EQ(m.find("/home/u/.ssh/id")[Category::kWrite], 3);
  EXPECT_EQ(m.find("/etc")[Category::kRead], Verdict::kNone);
  EXPECT_EQ(m.find("")[Category::kRead], Verdict::kNone);
}

TEST(Matcher, NoPatternsMatchNothing) {
  Matcher m({});
  EXPECT_EQ(m.find("/a")[Category::kRead], Verdict::kNone);
}

TEST(Matcher, AgreesWithThePlainWay) {
  std::mt19937 random(7);
  auto next = [&] { return unsigned(random()); };
  for (int round = 0; round < 300; round++) {
    const auto patterns = testing::some_patterns(next, 40);
    Matcher m(patterns);
    for (int i = 0; i < 60; i++) {
      const std::string text = testing::some_text(next, false);
      ASSERT_EQ(m.find(text).rule, testing::plain_verdict(patterns, text).rule) << text;
    }
  }
}

TEST(Matcher, AgreesWhereItMustForgetItsStates) {
  std::mt19937 random(8);
  auto next = [&] { return unsigned(random()); };
  const auto patterns = testing::some_patterns(next, 60);
  Matcher m(patterns, /*max_bytes=*/20'000);
  size_t most = 0;
  for (int i = 0; i < 5000; i++) {
    const std::string text = testing::some_text(next, false);
    ASSERT_EQ(m.find(text).rule, testing::plain_verdict(patterns, text).rule) << text;
    most = std::max(most, m.state_count());
  }
  EXPECT_LT(most, 500u);
}

}  // namespace
}  // namespace usk::policy
