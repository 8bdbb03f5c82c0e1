#include "boot/arrival.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "host/file_io.h"

namespace usk {
namespace {

constexpr uint64_t kUnits = 8, kSize = kUnits * kArrivalUnit;

class Arrival : public testing::Test {
 protected:
  Arrival() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    writer_ = UniqueFd(fds[0]), reader_ = UniqueFd(fds[1]);
    pages_ = make_ref<ArrivingPages>(board_, kSize, reader_.get());
  }
  std::unique_ptr<PageDesk> desk(const std::vector<PageRun>& runs = {{0, kSize, 0}}) {
    return std::make_unique<PageDesk>(board_, runs, kSize);
  }

  Ref<HostFd> board_ = make_ref<HostFd>(*host::memory_file("board"));
  UniqueFd writer_, reader_;
  Ref<ArrivingPages> pages_;
};

TEST_F(Arrival, IsSeenUnitByUnit) {
  auto d = desk();
  EXPECT_FALSE(pages_->has(0, 1));
  EXPECT_TRUE(pages_->has(0, 0));
  ASSERT_EQ(d->next(), 0u);
  ASSERT_TRUE(d->wrote(0));
  EXPECT_TRUE(pages_->has(0, kArrivalUnit));
  EXPECT_FALSE(pages_->has(0, kArrivalUnit + 1));
  EXPECT_TRUE(pages_->wait_for(100, 100));
}

TEST_F(Arrival, ShortRunsComeFirst) {
  auto d = desk({{0, 5 * kArrivalUnit, 0},
                 {1 << 30, 4096, 5 * kArrivalUnit},
                 {uint64_t(1) << 31, 2 * kArrivalUnit + 4096, 5 * kArrivalUnit + 4096}});
  EXPECT_EQ(d->next(), 5u);
  ASSERT_TRUE(d->wrote(5));
  EXPECT_EQ(d->next(), 0u);
}

TEST_F(Arrival, WhatIsWantedComesNext) {
  auto d = desk();
  ASSERT_TRUE(d->wrote(*d->next()));
  Result<void> waited = Err(EAGAIN);
  std::jthread reader([&] { waited = pages_->wait_for(6 * kArrivalUnit, kArrivalUnit + 1); });
  while (d->next() != 6u) std::this_thread::yield();
  ASSERT_TRUE(d->wrote(6));
  ASSERT_EQ(d->next(), 7u);
  ASSERT_TRUE(d->wrote(7));
  reader.join();
  EXPECT_TRUE(waited);
  EXPECT_EQ(d->next(), 1u);
}

TEST_F(Arrival, AllIsThereInTheEnd) {
  auto d = desk();
  for (uint64_t written = 0; const auto unit = d->next(); written++) {
    ASSERT_LT(written, kUnits);
    ASSERT_TRUE(d->wrote(*unit));
  }
  d.reset();
  EXPECT_TRUE(pages_->wait_for(0, kSize));
  EXPECT_FALSE(pages_->wait_for(0, kSize + 1));
}

TEST_F(Arrival, NobodyWaitsForWhatNeverComes) {
  auto d = desk();
  ASSERT_TRUE(d->wrote(0));
  d.reset();
  EXPECT_TRUE(pages_->wait_for(0, 1));
  EXPECT_TRUE(failed_with(pages_->wait_for(kArrivalUnit, 1), EIO));
}

TEST_F(Arrival, NorWhereTheWriterIsGone) {
  auto d = desk();
  writer_.reset();
  EXPECT_TRUE(failed_with(pages_->wait_for(0, 1), EIO));
}

// A reader that wishes without end makes the writer remember no more than there is.
TEST_F(Arrival, WishesCountOnce) {
  auto d = desk();
  for (int i = 0; i < 3; i++) {
    const std::vector<uint8_t> all(kUnits, 1);
    const uint64_t bell = uint64_t(i) + 1;
    ASSERT_TRUE(host::pwrite(board_->get(), std::as_bytes(std::span(all)), 64 + kUnits));
    ASSERT_TRUE(host::pwrite(board_->get(), std::as_bytes(std::span(&bell, 1)), 8));
    EXPECT_EQ(d->next(), 0u);
  }
  for (uint64_t unit = 0; unit < kUnits; unit++) {
    ASSERT_EQ(d->next(), unit);
    ASSERT_TRUE(d->wrote(unit));
  }
  EXPECT_EQ(d->next(), std::nullopt);
}

}  // namespace
}  // namespace usk
