#include "host/process.h"

#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace usk::host {
namespace {

TEST(ThreadState, TellsTheTimeOfTheThreadAlone) {
  std::atomic<pid_t> tid{0};
  std::atomic<bool> end{false};
  std::thread idle([&] {
    tid = gettid();
    while (!end) usleep(1000);
  });
  while (!tid) usleep(100);
  const auto user_ticks = [](pid_t t) { return thread_state(t).value().user_ticks; };
  const uint64_t begin = user_ticks(gettid());
  while (user_ticks(gettid()) < begin + 5) {
    for (std::atomic<int> i = 0; i < 1000000; i++) {
    }
  }
  EXPECT_LT(user_ticks(tid), 3u);
  end = true;
  idle.join();
  EXPECT_FALSE(thread_state(tid).has_value());
}

TEST(IsChild, IsAChildUntilItWasWaitedFor) {
  EXPECT_FALSE(is_child(getpid()));
  EXPECT_FALSE(is_child(0));
  const pid_t pid = fork();
  if (pid == 0) _exit(0);
  EXPECT_TRUE(is_child(pid));
  EXPECT_EQ(wait_traced(pid, WaitMode::kBlock)->tid, pid);
  EXPECT_FALSE(is_child(pid));
}

}  // namespace
}  // namespace usk::host
