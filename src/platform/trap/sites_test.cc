#include "platform/trap/sites.h"

#include <gtest/gtest.h>

namespace usk::platform {
namespace {

Space::PlaceQuery in_file(int* asked = nullptr) {
  return [asked](uint64_t addr) {
    if (asked) ++*asked;
    return Space::Place{"/lib/libc.so", addr - 0x10000};
  };
}

uint64_t all_calls(CallSites& sites) {
  uint64_t n = 0;
  for (const CallSite& s : sites.top(SIZE_MAX)) n += s.calls();
  return n;
}

TEST(CallSites, OneSiteOfAFileWhateverProgramHasIt) {
  CallSites sites;
  int asked = 0;
  for (uint64_t program : {1, 2}) {
    for (int i = 0; i < 10; i++) sites.trapped(program, 0x10102, 39, in_file(&asked));
  }
  sites.trapped(1, 0x10202, 1, in_file(&asked));
  const auto top = sites.top(20);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].file, "/lib/libc.so");
  EXPECT_EQ(top[0].offset, 0x100u);
  EXPECT_EQ(top[0].address, 0x10100u);
  EXPECT_EQ(top[0].nr, 39u);
  EXPECT_EQ(top[0].trapped, 20u);
  EXPECT_EQ(top[1].address, 0u);  // Met too seldom to be told apart.
  EXPECT_EQ(asked, 2);
}

TEST(CallSites, WithoutAFileTheAddressTells) {
  CallSites sites;
  for (int i = 0; i < 8; i++) sites.trapped(1, 0x5002 + i % 2 * 0x100, 0, nullptr);
  const auto top = sites.top(20);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_TRUE(top[0].file.empty());
  EXPECT_NE(top[0].address, top[1].address);
}

TEST(CallSites, PatchedCallsAreEstimated) {
  CallSites sites;
  constexpr uint64_t kCalls = 100'000;
  for (uint64_t i = 0; i < kCalls; i++) {
    if (sites.is_sampled()) sites.patched(1, 0x10102 + i % 2 * 64, 39, in_file());
  }
  const auto top = sites.top(2);
  ASSERT_EQ(top.size(), 2u);
  for (const CallSite& s : top) EXPECT_NEAR(double(s.patched), kCalls / 2.0, kCalls / 20.0);
}

TEST(CallSites, AGuestCannotMakeThemGrow) {
  CallSites sites;
  constexpr uint64_t kSites = 20'000;
  const auto where = [](uint64_t addr) {
    return Space::Place{std::string(5000, 'x') + std::to_string(addr), 0};
  };
  for (uint64_t i = 0; i < kSites; i++) {
    for (int k = 0; k < 5; k++) sites.trapped(i, i * 4096, uint32_t(i * 7919), where);
  }
  const auto top = sites.top(SIZE_MAX);
  EXPECT_LE(top.size(), CallSites::kRows + 600);
  for (const CallSite& s : top) EXPECT_LE(s.file.size(), CallSites::kMaxName);
  EXPECT_EQ(all_calls(sites), kSites * 5);
}

}  // namespace
}  // namespace usk::platform
