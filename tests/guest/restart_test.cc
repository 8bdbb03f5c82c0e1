// What a signal does to a blocking call: EINTR, a restart, or the time that was left.
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

volatile sig_atomic_t g_hits;

// The signal arrives 20 ms from now.
void signal_soon(int flags) {
  handle_signal(SIGALRM, [](int) { g_hits = g_hits + 1; }, flags);
  itimerval value = {{0, 0}, {0, 20000}};
  MUST(setitimer(ITIMER_REAL, &value, nullptr));
}

struct Pipe {
  Pipe() { MUST(pipe(fds)); }
  int fds[2];
};

TEST(Restart, ReadWithoutSaRestartIsEintr) {
  Pipe pipe;
  signal_soon(0);
  char byte;
  EXPECT_ERR(read(pipe.fds[0], &byte, 1), EINTR);
  EXPECT_EQ(g_hits, 1);
}

TEST(Restart, ReadWithSaRestartGoesOn) {
  Pipe pipe;
  signal_soon(SA_RESTART);
  Thread writer([&] {
    block_signal(SIGALRM);
    while (g_hits == 0) usleep(1000);
    usleep(5000);
    EXPECT_EQ(write(pipe.fds[1], "x", 1), 1);
  });
  char byte = 0;
  // The timer's signal may also come to the writer before it blocks it; either way we are read.
  EXPECT_EQ(read(pipe.fds[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(g_hits, 1);
}

TEST(Restart, PartialWriteReturnsItsCount) {
  Pipe pipe;
  signal_soon(SA_RESTART);
  std::string data(256 * 1024, 'x');
  ssize_t n = write(pipe.fds[1], data.data(), data.size());
  EXPECT_EQ(n, 65536);
}

TEST(Restart, WaitpidGoesOn) {
  pid_t pid = fork_child([] { usleep(50000); });
  signal_soon(SA_RESTART);
  int status;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(g_hits, 1);
}

TEST(Restart, NanosleepIsEintrWithTheRest) {
  signal_soon(SA_RESTART);
  timespec time = {2, 0}, left = {};
  EXPECT_ERR(nanosleep(&time, &left), EINTR);
  EXPECT_EQ(left.tv_sec, 1);
  EXPECT_GT(left.tv_nsec, 500000000);
}

TEST(Restart, AbsoluteSleepLeavesTheRestAlone) {
  signal_soon(SA_RESTART);
  timespec time, left = {77, 77};
  clock_gettime(CLOCK_MONOTONIC, &time);
  time.tv_sec += 2;
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, &left), EINTR);
  EXPECT_EQ(left.tv_sec, 77);
}

TEST(Restart, PollSelectAndEpollAreAlwaysEintr) {
  Pipe pipe;
  pollfd poll_fd = {pipe.fds[0], POLLIN, 0};
  signal_soon(SA_RESTART);
  EXPECT_ERR(poll(&poll_fd, 1, 2000), EINTR);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipe.fds[0], &set);
  signal_soon(SA_RESTART);
  EXPECT_ERR(select(pipe.fds[0] + 1, &set, nullptr, nullptr, nullptr), EINTR);
  UniqueFd epoll(MUST(epoll_create1(0)));
  epoll_event event;
  signal_soon(SA_RESTART);
  EXPECT_ERR(epoll_wait(epoll.get(), &event, 1, 2000), EINTR);
}

TEST(Restart, SelectUpdatesTheTimeout) {
  signal_soon(0);
  timeval limit = {9, 0};
  EXPECT_ERR(select(0, nullptr, nullptr, nullptr, &limit), EINTR);
  EXPECT_LT(limit.tv_sec, 9);
  EXPECT_GT(limit.tv_sec, 2);
}

TEST(Restart, TimedFutexWaitIsEintrEvenWithSaRestart) {
  static int word;
  signal_soon(SA_RESTART);
  timespec limit = {2, 0};
  EXPECT_ERR(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit, nullptr, 0), EINTR);
}

TEST(Restart, UntimedFutexWaitGoesOn) {
  static int word;
  handle_signal(SIGUSR1, [](int) { g_hits = g_hits + 1; }, SA_RESTART);
  pid_t self = gettid();
  Thread waker([&] {
    wait_until_blocked(self);
    tgkill(getpid(), self, SIGUSR1);
    while (g_hits == 0) usleep(500);
    wait_until_blocked(self);
    while (syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0) != 1) usleep(500);
  });
  EXPECT_OK(syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0));
  EXPECT_EQ(g_hits, 1);
}

TEST(Restart, FutexWaitWithoutSaRestartIsEintr) {
  static int word;
  signal_soon(0);
  EXPECT_ERR(syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0), EINTR);
}

// A stopped and continued process does not see EINTR, even without a handler.
template <class F>
void survives_a_stop(F body) {
  pid_t pid = fork_child(body);
  wait_until_blocked(pid);
  MUST(kill(pid, SIGSTOP));
  int status;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  MUST(kill(pid, SIGCONT));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Restart, StopAndContinueIsInvisibleToNanosleep) {
  survives_a_stop([] {
    timespec time = ms_to_timespec(60), left;
    int64_t start = now_ms();
    EXPECT_OK(nanosleep(&time, &left));
    EXPECT_GE(now_ms() - start, 59);
  });
}

TEST(Restart, StopAndContinueIsInvisibleToATimedFutexWait) {
  survives_a_stop([] {
    static int word;
    timespec limit = ms_to_timespec(60);
    int64_t start = now_ms();
    EXPECT_ERR(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit, nullptr, 0), ETIMEDOUT);
    EXPECT_GE(now_ms() - start, 59);
  });
}

TEST(Restart, StopAndContinueIsInvisibleToPoll) {
  survives_a_stop([] {
    int64_t start = now_ms();
    EXPECT_EQ(poll(nullptr, 0, 600), 0);
    EXPECT_GE(now_ms() - start, 599);
  });
}

TEST(Restart, StopAndContinueIsInvisibleToRead) {
  Pipe pipe;
  pid_t pid = fork_child([&] {
    char byte;
    EXPECT_EQ(read(pipe.fds[0], &byte, 1), 1);
  });
  wait_until_blocked(pid);
  MUST(kill(pid, SIGSTOP));
  wait_for_state(pid, "T");
  MUST(kill(pid, SIGCONT));
  EXPECT_EQ(write(pipe.fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Restart, StopInterruptsEpollWait) {
  // signal(7) lists it: on Linux epoll_wait is EINTR even without a handler.
  survives_a_stop([] {
    UniqueFd epoll(MUST(epoll_create1(0)));
    epoll_event event;
    int result = epoll_wait(epoll.get(), &event, 1, 100);
    EXPECT_TRUE(result == 0 || (result == -1 && errno == EINTR));
  });
}

TEST(Restart, IgnoredSignalDoesNotWake) {
  handle_signal(SIGALRM, SIG_IGN);
  ualarm(10000, 0);
  timespec time = ms_to_timespec(40), left;
  EXPECT_OK(nanosleep(&time, &left));
}

TEST(Restart, BlockedSignalDoesNotWake) {
  handle_signal(SIGALRM, [](int) {});
  block_signal(SIGALRM);
  ualarm(10000, 0);
  timespec time = ms_to_timespec(40), left;
  EXPECT_OK(nanosleep(&time, &left));
}

TEST(Restart, SocketTimeoutForbidsARestart) {
  int fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
  timeval limit = {2, 0};
  MUST(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  signal_soon(SA_RESTART);
  char byte;
  EXPECT_ERR(recv(fds[0], &byte, 1, 0), EINTR);
}

TEST(Restart, FlockAndFifoOpen) {
  MUST(mkfifo("fifo", 0600));
  signal_soon(0);
  EXPECT_ERR(open("fifo", O_RDONLY), EINTR);
}

TEST(Restart, HandlerThatWritesUnblocksTheRestartedRead) {
  static int out;
  Pipe pipe;
  out = pipe.fds[1];
  handle_signal(SIGALRM, [](int) { [[maybe_unused]] ssize_t n = write(out, "y", 1); }, SA_RESTART);
  ualarm(10000, 0);
  char byte = 0;
  EXPECT_EQ(read(pipe.fds[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
}

TEST(Restart, NestedSignalsDuringARestart) {
  Pipe pipe;
  handle_signal(SIGUSR1, [](int) { g_hits = g_hits + 1; }, SA_RESTART);
  pid_t self = gettid();
  Thread sender([&] {
    for (int i = 0; i < 20; ++i) {
      tgkill(getpid(), self, SIGUSR1);
      usleep(500);
    }
    EXPECT_EQ(write(pipe.fds[1], "z", 1), 1);
  });
  char byte = 0;
  EXPECT_EQ(read(pipe.fds[0], &byte, 1), 1);
  EXPECT_GT(g_hits, 0);
}

}  // namespace
