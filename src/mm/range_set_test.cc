#include "mm/range_set.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace usk {
namespace {

using Range = RangeSet::Range;
using Ranges = std::vector<Range>;

TEST(RangeSet, JoinsWhatTouchesAndCutsWhatIsTaken) {
  RangeSet s;
  s.add(10, 20);
  s.add(30, 40);
  EXPECT_EQ(s.within(0, 100), (Ranges{{10, 20}, {30, 40}}));
  s.add(20, 30);
  EXPECT_EQ(s.within(0, 100), (Ranges{{10, 40}}));
  s.erase(15, 35);
  EXPECT_EQ(s.within(0, 100), (Ranges{{10, 15}, {35, 40}}));
  EXPECT_EQ(s.within(12, 36), (Ranges{{12, 15}, {35, 36}}));
  EXPECT_EQ(s.first(15, 35), (Range{35, 35}));
  s.erase(0, 100);
  EXPECT_TRUE(s.empty());
}

TEST(RangeSet, IsASetOfNumbers) {
  std::mt19937 random(1);
  RangeSet s;
  std::set<uint64_t> numbers;
  for (int i = 0; i < 5000; i++) {
    const uint64_t start = random() % 200, end = start + random() % 30;
    const bool add = random() % 2;
    add ? s.add(start, end) : s.erase(start, end);
    for (uint64_t n = start; n < end; n++) add ? (void)numbers.insert(n) : (void)numbers.erase(n);
    uint64_t last = UINT64_MAX;
    size_t count = 0;
    for (const Range& r : s.within(0, 1000)) {
      ASSERT_LT(r.start, r.end);
      ASSERT_NE(r.start, last);  // They would be one.
      last = r.end;
      for (uint64_t n = r.start; n < r.end; n++, count++) ASSERT_TRUE(numbers.contains(n));
    }
    ASSERT_EQ(count, numbers.size());
  }
}

}  // namespace
}  // namespace usk
