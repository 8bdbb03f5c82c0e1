#include "base/number_table.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

namespace usk {
namespace {

TEST(NumberTable, IsEmptyAtFirst) {
  NumberTable<int> table;
  EXPECT_EQ(table.find(0), nullptr);
  table.erase(0);
  EXPECT_EQ(table.size(), 0u);
}

TEST(NumberTable, KeepsTheLastPointer) {
  NumberTable<int> table;
  int a = 0, b = 0;
  table.set(0, &a);
  table.set(0, &b);
  table.set(~uint64_t(0), &a);
  EXPECT_EQ(table.find(0), &b);
  EXPECT_EQ(table.find(~uint64_t(0)), &a);
  EXPECT_EQ(table.size(), 2u);
}

// Random numbers from so small a range that most are met again and runs of them wrap around.
TEST(NumberTable, BehavesAsAMap) {
  std::mt19937_64 random(1);
  for (const uint64_t range : {8u, 100u, 5000u}) {
    NumberTable<int> table;
    std::unordered_map<uint64_t, int*> expected;
    std::vector<int> values(100);
    for (int step = 0; step < 40000; step++) {
      const uint64_t key = random() % range * (step % 2 ? 1 : 0x100000001);
      // Grows in the first half, shrinks in the second.
      if (random() % 3 < (step < 20000 ? 2 : 1)) {
        int* value = &values[random() % values.size()];
        table.set(key, value);
        expected[key] = value;
      } else {
        table.erase(key);
        expected.erase(key);
      }
      const uint64_t other = random() % range;
      auto it = expected.find(other);
      ASSERT_EQ(table.find(other), it == expected.end() ? nullptr : it->second);
    }
    ASSERT_EQ(table.size(), expected.size());
    size_t met = 0;
    table.for_each([&](uint64_t key, int& value) {
      met++;
      EXPECT_EQ(expected.at(key), &value);
    });
    EXPECT_EQ(met, expected.size());
    for (auto [key, value] : expected) EXPECT_EQ(table.find(key), value);
  }
}

}  // namespace
}  // namespace usk
