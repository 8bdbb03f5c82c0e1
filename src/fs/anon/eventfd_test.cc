#include "fs/anon/eventfd.h"

#include <gtest/gtest.h>

#include "base/fake_timers.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/inode.h"

namespace usk {
namespace {

using namespace testing;

class EventFdTest : public ::testing::Test {
 protected:
  Ref<EventFd> make(uint64_t count, bool semaphore = false) {
    return make_ref<EventFd>(count, semaphore, 0, test_creds());
  }
  static Result<uint64_t> get(File& f) { return read_object<uint64_t>(f); }
  static Result<size_t> put(File& f, uint64_t v) { return write_object(f, v); }
  FakeTimers timers_;
};

TEST_F(EventFdTest, ReadTakesTheWholeCount) {
  auto efd = make(3);
  EXPECT_EQ(get(*efd), 3u);
  EXPECT_TRUE(failed_with(get(*efd), EAGAIN));
}

TEST_F(EventFdTest, SemaphoreReadTakesOne) {
  auto efd = make(2, true);
  EXPECT_EQ(get(*efd), 1u);
  EXPECT_EQ(get(*efd), 1u);
  EXPECT_TRUE(failed_with(get(*efd), EAGAIN));
}

TEST_F(EventFdTest, WriteStopsOneShortOfTheMaximum) {
  auto efd = make(1);
  EXPECT_TRUE(failed_with(put(*efd, UINT64_MAX), EINVAL));
  EXPECT_TRUE(failed_with(put(*efd, UINT64_MAX - 1), EAGAIN));
  EXPECT_EQ(put(*efd, UINT64_MAX - 2), 8u);
  EXPECT_EQ(efd->poll(), PollMask(POLLIN));
  efd->signal(5);
  EXPECT_EQ(efd->poll(), PollMask(POLLIN | POLLERR));
}

TEST_F(EventFdTest, OtherSizesAreInvalid) {
  auto efd = make(1);
  EXPECT_TRUE(failed_with(read_from(*efd, 7), EINVAL));
  EXPECT_TRUE(failed_with(write_to(*efd, "1234567"), EINVAL));
  EXPECT_TRUE(failed_with(write_to(*efd, "123456789"), EINVAL));
}

TEST_F(EventFdTest, WakesOnBothSides) {
  auto efd = make(0);
  auto waiter = make_ref<CountingWaiter>();
  efd->queue().add(waiter, POLLIN | POLLOUT);
  put(*efd, 1);
  EXPECT_TRUE(waiter->take(POLLIN));
  get(*efd);
  EXPECT_TRUE(waiter->take(POLLOUT));
}

TEST_F(EventFdTest, ShowsItselfInFdinfo) {
  auto efd = make(0x1234, true);
  EXPECT_TRUE(efd->fdinfo().starts_with("eventfd-count:             1234\neventfd-id: "));
  EXPECT_TRUE(efd->fdinfo().ends_with("eventfd-semaphore: 1\n"));
  EXPECT_EQ(efd->inode().getattr()->mode, 0600u);
}

}  // namespace
}  // namespace usk
