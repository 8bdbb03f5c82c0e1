#include "host/disk_helper.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "host/file_io.h"

namespace usk::host {
namespace {

Result<void> awaited(DiskHelper& helper) {
  pollfd fd{.fd = helper.fd(), .events = POLLIN, .revents = 0};
  ::poll(&fd, 1, 10'000);
  return helper.answer();
}

pid_t child() {
  std::ifstream children("/proc/thread-self/children");
  pid_t pid = 0, last = 0;
  while (children >> pid) last = pid;
  return last;
}

TEST(DiskHelper, AnswersWhatTheDiskDoes) {
  auto helper = DiskHelper::start();
  ASSERT_TRUE(helper);
  EXPECT_TRUE(failed_with(helper->answer(), EAGAIN));
  auto file = memory_file("test");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (int i = 0; i < 3; i++) {
    const int fds[] = {file->get(), file->get()};
    ASSERT_TRUE(helper->ask(DiskHelper::Wish::kHold, fds));
    ASSERT_TRUE(helper->ask(DiskHelper::Wish::kSync, fds));
    EXPECT_TRUE(awaited(*helper));
    // A pipe is on no disk.
    ASSERT_TRUE(helper->ask(DiskHelper::Wish::kSync, ends));
    EXPECT_TRUE(failed_with(awaited(*helper), EINVAL));
  }
  // It holds nothing on.
  close(ends[1]);
  char byte;
  EXPECT_EQ(::read(ends[0], &byte, 1), 0);
  close(ends[0]);
}

TEST(DiskHelper, IsMissedWhenItIsGone) {
  auto helper = DiskHelper::start();
  ASSERT_TRUE(helper);
  ASSERT_EQ(kill(child(), SIGKILL), 0);
  EXPECT_TRUE(failed_with(awaited(*helper), EPIPE));
  EXPECT_TRUE(failed_with(helper->ask(DiskHelper::Wish::kSync, {}), EPIPE));
}

}  // namespace
}  // namespace usk::host
