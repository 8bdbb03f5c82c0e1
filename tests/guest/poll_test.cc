// poll(2), ppoll(2), select(2), pselect(2).
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/select.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct Pipe {
  Pipe() {
    int fds[2];
    MUST(pipe(fds));
    in.reset(fds[0]);
    out.reset(fds[1]);
  }
  UniqueFd in, out;
};

TEST(Poll, CountsReadyEntries) {
  Pipe a, b;
  EXPECT_EQ(write(b.out.get(), "x", 1), 1);
  pollfd fds[3] = {{a.in.get(), POLLIN, 0}, {b.in.get(), POLLIN, 0}, {a.out.get(), POLLOUT, 0}};
  EXPECT_EQ(poll(fds, 3, 0), 2);
  EXPECT_EQ(fds[0].revents, 0);
  EXPECT_EQ(fds[1].revents, POLLIN);
  EXPECT_EQ(fds[2].revents, POLLOUT);
}

TEST(Poll, NegativeAndClosedDescriptors) {
  pollfd fds[2] = {{-1, POLLIN, 77}, {999, POLLIN, 0}};
  EXPECT_EQ(poll(fds, 2, 0), 1);
  EXPECT_EQ(fds[0].revents, 0);
  EXPECT_EQ(fds[1].revents, POLLNVAL);
}

TEST(Poll, FilesAreAlwaysReady) {
  write_file("f", "");
  UniqueFd fd(MUST(open("f", O_RDWR)));
  pollfd entry = {fd.get(), POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 1);
  EXPECT_EQ(entry.revents, POLLIN | POLLOUT);
}

TEST(Poll, TimesOut) {
  Pipe pipe;
  pollfd entry = {pipe.in.get(), POLLIN, 0};
  int64_t start = now_ms();
  EXPECT_EQ(poll(&entry, 1, 20), 0);
  EXPECT_GE(now_ms() - start, 19);
  EXPECT_EQ(poll(nullptr, 0, 1), 0);
}

TEST(Poll, Wakes) {
  Pipe pipe;
  Thread waiter([&] {
    pollfd entry = {pipe.in.get(), POLLIN, 0};
    EXPECT_EQ(poll(&entry, 1, -1), 1);
    EXPECT_EQ(entry.revents, POLLIN);
  });
  wait_until_blocked(waiter.tid());
  EXPECT_EQ(write(pipe.out.get(), "x", 1), 1);
}

TEST(Poll, Errors) {
  EXPECT_ERR(syscall(SYS_poll, 8, 1, 0), EFAULT);
  rlimit limit = {10, 10};
  MUST(setrlimit(RLIMIT_NOFILE, &limit));
  pollfd entries[11] = {};
  EXPECT_ERR(poll(entries, 11, 0), EINVAL);
}

TEST(Ppoll, MaskIsAppliedAtomically) {
  static volatile int hits;
  handle_signal(SIGUSR1, [](int) { hits = hits + 1; });
  block_signal(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_EQ(hits, 0);
  sigset_t none;
  sigemptyset(&none);
  timespec limit = {1, 0};
  EXPECT_ERR(ppoll(nullptr, 0, &limit, &none), EINTR);
  EXPECT_EQ(hits, 1);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGUSR1));
}

TEST(Ppoll, RawCallWritesTheRest) {
  timespec limit = {2, 0};
  Pipe pipe;
  EXPECT_EQ(write(pipe.out.get(), "x", 1), 1);
  pollfd entry = {pipe.in.get(), POLLIN, 0};
  EXPECT_EQ(syscall(SYS_ppoll, &entry, 1, &limit, nullptr, 8), 1);
  EXPECT_EQ(limit.tv_sec, 1);
  limit = {0, 1000000000};
  EXPECT_ERR(syscall(SYS_ppoll, &entry, 1, &limit, nullptr, 8), EINVAL);
  limit = {1, 0};
  sigset_t none;
  sigemptyset(&none);
  EXPECT_ERR(syscall(SYS_ppoll, &entry, 1, &limit, &none, 4), EINVAL);
}

TEST(Select, ReadWriteSets) {
  Pipe pipe;
  fd_set in, out;
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_SET(pipe.in.get(), &in);
  FD_SET(pipe.out.get(), &out);
  int n = pipe.out.get() + 1;
  timeval zero = {};
  EXPECT_EQ(select(n, &in, &out, nullptr, &zero), 1);
  EXPECT_FALSE(FD_ISSET(pipe.in.get(), &in));
  EXPECT_TRUE(FD_ISSET(pipe.out.get(), &out));
  EXPECT_EQ(write(pipe.out.get(), "x", 1), 1);
  FD_SET(pipe.in.get(), &in);
  EXPECT_EQ(select(n, &in, &out, nullptr, nullptr), 2);
}

TEST(Select, HangupIsReadable) {
  Pipe pipe;
  pipe.out.reset();
  fd_set in;
  FD_ZERO(&in);
  FD_SET(pipe.in.get(), &in);
  timeval zero = {};
  EXPECT_EQ(select(pipe.in.get() + 1, &in, nullptr, nullptr, &zero), 1);
}

TEST(Select, Errors) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(50, &set);
  timeval zero = {};
  EXPECT_ERR(select(51, &set, nullptr, nullptr, &zero), EBADF);
  EXPECT_ERR(select(-1, nullptr, nullptr, nullptr, &zero), EINVAL);
  timeval bad = {-1, 0};
  EXPECT_ERR(syscall(SYS_select, 0, nullptr, nullptr, nullptr, &bad), EINVAL);
}

TEST(Select, SleepsAndCountsDown) {
  timeval limit = {0, 20000};
  int64_t start = now_ms();
  EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &limit), 0);
  EXPECT_GE(now_ms() - start, 19);
  EXPECT_EQ(limit.tv_sec, 0);
  EXPECT_EQ(limit.tv_usec, 0);
}

TEST(Pselect, MaskAndTimeout) {
  handle_signal(SIGUSR1, [](int) {});
  block_signal(SIGUSR1);
  raise(SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  timespec limit = {1, 0};
  EXPECT_ERR(pselect(0, nullptr, nullptr, nullptr, &limit, &none), EINTR);
  limit = ms_to_timespec(5);
  EXPECT_EQ(pselect(0, nullptr, nullptr, nullptr, &limit, nullptr), 0);
}

}  // namespace
