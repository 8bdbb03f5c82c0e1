#include "kernel/run/load_average.h"

#include <gtest/gtest.h>

namespace usk {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(LoadAverage, ApproachesWhatIsActive) {
  LoadAverage load;
  load.update(kSecond, 2);
  EXPECT_EQ(load.values()[0], 0);
  EXPECT_TRUE(load.due(6 * kSecond));
  for (int64_t t = 6; t < 3600; t += 5) load.update(t * kSecond, 2);
  EXPECT_NEAR(load.values()[0], 2, 0.01);
  EXPECT_NEAR(load.values()[2], 2, 0.05);
}

TEST(LoadAverage, MissedStepsCountAsSeveral) {
  LoadAverage one, many;
  one.update(kSecond, 0);
  many.update(kSecond, 0);
  one.update(61 * kSecond, 3);
  for (int64_t t = 6; t <= 61; t += 5) many.update(t * kSecond, 3);
  EXPECT_NEAR(one.values()[0], many.values()[0], 1e-9);
  EXPECT_NEAR(one.values()[0], 3 * 0.632, 0.01);
}

}  // namespace
}  // namespace usk
