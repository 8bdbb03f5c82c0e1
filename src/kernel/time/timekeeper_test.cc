#include "kernel/time/timekeeper.h"

#include <gtest/gtest.h>

#include <span>

#include "host/file_io.h"

namespace usk {
namespace {

struct Client final : TimerClient {
  int times = 0;
  void expired() override { times++; }
};

TEST(Timekeeper, NothingExpiresWhileTimeStandsStill) {
  Timekeeper time;
  time.stand_still();
  time.begin_at({.monotonic = 5'000, .coarse = 4'000});
  time.stand_at_realtime(77);
  const auto client = make_ref<Client>();
  time.arm(client, CLOCK_MONOTONIC, 4'999);
  EXPECT_TRUE(time.expire().infinite());
  EXPECT_EQ(time.monotonic(), 5'000);
  EXPECT_EQ(time.now(CLOCK_MONOTONIC_COARSE), 4'000);
  EXPECT_EQ(time.now(CLOCK_REALTIME_COARSE), 77);
  EXPECT_EQ(client->times, 0);
  time.go_on();
  EXPECT_GE(time.monotonic(), 5'000);
  (void)time.expire();
  EXPECT_EQ(client->times, 1);
}

// A coarse clock is behind by another amount in each process.
TEST(Timekeeper, NoClockGoesBackWhenItBegins) {
  Timekeeper::Moment last{.monotonic = 1'000'000'000, .coarse = 999'999'999};
  for (int i = 0; i < 100; i++) {
    Timekeeper time;
    time.begin_at(last);
    const Timekeeper::Moment now = time.moment();
    EXPECT_GE(now.monotonic, last.monotonic);
    EXPECT_GE(now.coarse, last.coarse);
    last = now;
  }
  EXPECT_LT(last.monotonic, 2'000'000'000);
}

uint32_t sequence_of(Timekeeper& time) {
  uint32_t sequence = 1;
  EXPECT_TRUE(
      host::pread(time.page().memory()->get(), std::as_writable_bytes(std::span(&sequence, 1)), 0));
  return sequence;
}

// Who is in the midst of reading one page and goes on with another has to notice.
TEST(Timekeeper, PagesAreToldApartByTheirSequence) {
  Timekeeper one, other;
  EXPECT_EQ(sequence_of(one) % 2, 0u);
  EXPECT_NE(sequence_of(one), sequence_of(other));
}

TEST(Timekeeper, AnyImageMayBeginAnywhere) {
  for (const int64_t at : {INT64_MIN, int64_t(0), INT64_MAX}) {
    for (const int64_t coarse : {INT64_MIN, int64_t(0), INT64_MAX}) {
      Timekeeper time;
      time.begin_at({.monotonic = at, .coarse = coarse});
      (void)time.moment();
    }
  }
}

}  // namespace
}  // namespace usk
