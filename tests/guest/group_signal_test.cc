// signal(7): a signal to a process goes to one of its threads; to another one when that one ends or
// begins to block it before it has taken it.
#include <sys/ptrace.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

volatile pid_t g_usr2_taken_by;

bool usr2_is_taken_soon() {
  for (int i = 0; i < 2000 && !g_usr2_taken_by; i++) usleep(1000);
  return g_usr2_taken_by;
}

// SIGUSR2 is sent while the first thread, which blocks nothing, waits for its vfork(2); it then
// takes SIGUSR1 first, whose handler blocks SIGUSR2.
TEST(GroupSignal, GoesToAnotherThreadWhenAHandlerBlocksIt) {
  handle_signal(SIGUSR2, [](int) { g_usr2_taken_by = gettid(); });
  static volatile bool taken_soon;
  struct sigaction first = {};
  first.sa_handler = [](int) { taken_soon = usr2_is_taken_soon(); };
  sigaddset(&first.sa_mask, SIGUSR2);
  ASSERT_OK(sigaction(SIGUSR1, &first, nullptr));
  block_signal(SIGUSR1);
  Thread other([] {
    while (!g_usr2_taken_by) usleep(1000);
  });
  wait_until_blocked(other.tid());
  unblock_signal(SIGUSR1);
  const pid_t child = vfork();
  if (child == 0) {
    kill(getppid(), SIGUSR2);
    kill(getppid(), SIGUSR1);
    _exit(0);
  }
  ASSERT_OK(child);
  EXPECT_TRUE(taken_soon);
  EXPECT_EQ(g_usr2_taken_by, other.tid());
}

TEST(GroupSignal, GoesToAnotherThreadWhenOneEnds) {
  static int to;
  int fds[2];
  ASSERT_OK(pipe(fds));
  to = fds[1];
  const pid_t pid = traced_child([] {
    handle_signal(SIGUSR1, [](int) {
      (void)!write(to, "s", 1);
      _exit(0);
    });
    Thread other([] {
      for (;;) pause();
    });
    wait_until_blocked(other.tid());
    syscall(SYS_exit, 0);
  });
  do {
    ASSERT_EQ(raw_ptrace(PTRACE_SYSCALL, pid, 0, 0), 0);
    EXPECT_STOP(pid, SIGTRAP);
  } while (get_regs(pid).orig_rax != SYS_exit);
  kill(pid, SIGUSR1);
  raw_ptrace(PTRACE_DETACH, pid, 0, 0);  // Of one that may have ended already.
  char got = 0;
  EXPECT_EQ(read(fds[0], &got, 1), 1);
  EXPECT_EQ(got, 's');
  EXPECT_STATUS(pid, 0);
}

// Two that wait for signals: the one that may take both ends its wait with the first of them.
TEST(GroupSignal, GoesToAnotherThreadWhenAWaitEnds) {
  block_signal(SIGUSR1);
  block_signal(SIGUSR2);
  const auto wait_for = [](std::initializer_list<int> signals) {
    sigset_t set;
    sigemptyset(&set);
    for (const int s : signals) sigaddset(&set, s);
    const timespec limit{2, 0};
    int got;  // EINTR, where the other one was quicker to take what this one was woken for.
    while ((got = sigtimedwait(&set, nullptr, &limit)) == -1 && errno == EINTR) {
    }
    return got;
  };
  for (int i = 0; i < 50; i++) {
    int others = 0;
    Thread other([&] { others = wait_for({SIGUSR2}); });
    const pid_t parent = getpid();
    const pid_t child = fork_child([parent, tid = other.tid()] {
      wait_until_blocked(parent);
      wait_until_blocked(tid);
      kill(parent, SIGUSR2);
      kill(parent, SIGUSR1);
    });
    const int own = wait_for({SIGUSR1, SIGUSR2});
    // SIGUSR2 is taken by either; where this one took it, SIGUSR1 is left to it.
    if (own == SIGUSR2) {
      EXPECT_EQ(wait_for({SIGUSR1}), SIGUSR1);
      kill(getpid(), SIGUSR2);
    } else {
      EXPECT_EQ(own, SIGUSR1);
    }
    other.join();
    EXPECT_EQ(others, SIGUSR2);
    EXPECT_STATUS(child, 0);
  }
}

}  // namespace
