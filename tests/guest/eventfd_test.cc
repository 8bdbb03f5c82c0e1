// eventfd(2).
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "tests/guest/harness.h"

namespace {

using guest::Thread;

TEST(EventFd, ReadTakesTheWholeCount) {
  UniqueFd fd(MUST(eventfd(5, EFD_NONBLOCK)));
  uint64_t value = 0;
  EXPECT_EQ(read(fd.get(), &value, sizeof value), 8);
  EXPECT_EQ(value, 5u);
  EXPECT_ERR(read(fd.get(), &value, sizeof value), EAGAIN);
}

TEST(EventFd, SemaphoreReadTakesOne) {
  UniqueFd fd(MUST(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK)));
  uint64_t value = 0;
  EXPECT_EQ(read(fd.get(), &value, sizeof value), 8);
  EXPECT_EQ(value, 1u);
  CHECKPOINT();
  EXPECT_EQ(read(fd.get(), &value, sizeof value), 8);
  EXPECT_EQ(value, 1u);
  EXPECT_ERR(read(fd.get(), &value, sizeof value), EAGAIN);
}

TEST(EventFd, WritesAdd) {
  UniqueFd fd(MUST(eventfd(0, EFD_NONBLOCK)));
  EXPECT_OK(eventfd_write(fd.get(), 3));
  EXPECT_OK(eventfd_write(fd.get(), 4));
  eventfd_t value = 0;
  EXPECT_OK(eventfd_read(fd.get(), &value));
  EXPECT_EQ(value, 7u);
}

TEST(EventFd, ShortBuffersAreInvalid) {
  UniqueFd fd(MUST(eventfd(1, EFD_NONBLOCK)));
  char small[7] = {};
  EXPECT_ERR(read(fd.get(), small, sizeof small), EINVAL);
  EXPECT_ERR(write(fd.get(), small, sizeof small), EINVAL);
}

TEST(EventFd, MaximumIsRefused) {
  UniqueFd fd(MUST(eventfd(0, EFD_NONBLOCK)));
  uint64_t value = UINT64_MAX;
  EXPECT_ERR(write(fd.get(), &value, sizeof value), EINVAL);
  value = UINT64_MAX - 1;
  EXPECT_EQ(write(fd.get(), &value, sizeof value), 8);
  value = 1;
  EXPECT_ERR(write(fd.get(), &value, sizeof value), EAGAIN);
  pollfd poll_fd = {fd.get(), POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
  EXPECT_EQ(poll_fd.revents, POLLIN);
}

TEST(EventFd, FlagsAreChecked) {
  EXPECT_ERR(eventfd(0, 2), EINVAL);
  UniqueFd fd(MUST(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

TEST(EventFd, NotSeekable) {
  UniqueFd fd(MUST(eventfd(0, 0)));
  char byte[8];
  EXPECT_ERR(pread(fd.get(), byte, 8, 0), ESPIPE);
}

TEST(EventFd, PollFollowsTheCount) {
  UniqueFd fd(MUST(eventfd(0, 0)));
  pollfd poll_fd = {fd.get(), POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
  EXPECT_EQ(poll_fd.revents, POLLOUT);
  eventfd_write(fd.get(), 1);
  EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
  EXPECT_EQ(poll_fd.revents, POLLIN | POLLOUT);
}

TEST(EventFd, BlockedReaderIsWoken) {
  UniqueFd fd(MUST(eventfd(0, 0)));
  uint64_t value = 0;
  Thread reader([&] { EXPECT_EQ(read(fd.get(), &value, sizeof value), 8); });
  guest::wait_until_blocked(reader.tid());
  CHECKPOINT();
  eventfd_write(fd.get(), 9);
  reader.join();
  EXPECT_EQ(value, 9u);
}

TEST(EventFd, BlockedReaderKeepsItsFileWhenTheNumberIsReused) {
  UniqueFd fd(MUST(eventfd(0, 0)));
  UniqueFd alias(MUST(dup(fd.get())));
  uint64_t value = 0;
  Thread reader([&] { EXPECT_EQ(read(fd.get(), &value, sizeof value), 8); });
  guest::wait_until_blocked(reader.tid());
  UniqueFd other(MUST(eventfd(9, 0)));
  ASSERT_EQ(dup2(other.get(), fd.get()), fd.get());
  CHECKPOINT();
  eventfd_write(alias.get(), 5);
  reader.join();
  EXPECT_EQ(value, 5u);
}

TEST(EventFd, BlockedWriterGoesOnAfterARead) {
  UniqueFd fd(MUST(eventfd(0, 0)));
  eventfd_write(fd.get(), UINT64_MAX - 1);
  Thread writer([&] { EXPECT_OK(eventfd_write(fd.get(), 10)); });
  guest::wait_until_blocked(writer.tid());
  eventfd_t value = 0;
  EXPECT_OK(eventfd_read(fd.get(), &value));
  EXPECT_EQ(value, UINT64_MAX - 1);
  writer.join();
  EXPECT_OK(eventfd_read(fd.get(), &value));
  EXPECT_EQ(value, 10u);
}

TEST(EventFd, SharedAcrossFork) {
  UniqueFd fd(MUST(eventfd(0, 0)));
  EXPECT_EXITED(guest::run_child([&] { EXPECT_OK(eventfd_write(fd.get(), 42)); }), 0);
  eventfd_t value = 0;
  EXPECT_OK(eventfd_read(fd.get(), &value));
  EXPECT_EQ(value, 42u);
}

}  // namespace
