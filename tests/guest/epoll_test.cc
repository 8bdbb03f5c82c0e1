// epoll(7).
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct Poller {
  Poller() : fd(epoll_create1(EPOLL_CLOEXEC)) { ASSERT_GE(fd.get(), 0); }
  int control(int op, const UniqueFd& target, uint32_t events, uint64_t data = 7) {
    epoll_event event = {events, {.u64 = data}};
    return epoll_ctl(fd.get(), op, target.get(), &event);
  }
  int add(const UniqueFd& target, uint32_t events, uint64_t data = 7) {
    return control(EPOLL_CTL_ADD, target, events, data);
  }
  // The number of events within `ms`, the first of them in `event`.
  int wait(int ms = 0) { return epoll_wait(fd.get(), events, 8, ms); }
  UniqueFd fd;
  epoll_event events[8] = {};
};

UniqueFd event_fd(unsigned value = 0, int flags = EFD_NONBLOCK) {
  return UniqueFd(MUST(eventfd(value, flags)));
}

TEST(Epoll, ReportsReadyDescriptors) {
  Poller poller;
  UniqueFd a = event_fd(), b = event_fd(1);
  EXPECT_OK(poller.add(a, EPOLLIN, 1));
  EXPECT_OK(poller.add(b, EPOLLIN, 2));
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_EQ(poller.events[0].data.u64, 2u);
  EXPECT_EQ(poller.events[0].events, unsigned{EPOLLIN});
}

TEST(Epoll, LevelTriggeredRepeats) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  EXPECT_OK(poller.add(fd, EPOLLIN));
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_EQ(poller.wait(), 1);
  eventfd_t value;
  eventfd_read(fd.get(), &value);
  EXPECT_EQ(poller.wait(), 0);
}

TEST(Epoll, EdgeTriggeredReportsEachWriteOnce) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  EXPECT_OK(poller.add(fd, EPOLLIN | EPOLLET));
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_EQ(poller.wait(), 0);
  eventfd_write(fd.get(), 1);  // A new edge, although it was readable all the time.
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_EQ(poller.wait(), 0);
}

TEST(Epoll, OneshotNeedsRearming) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  EXPECT_OK(poller.add(fd, EPOLLIN | EPOLLONESHOT));
  EXPECT_EQ(poller.wait(), 1);
  eventfd_write(fd.get(), 1);
  EXPECT_EQ(poller.wait(), 0);
  EXPECT_OK(poller.control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT));
  EXPECT_EQ(poller.wait(), 1);
}

TEST(Epoll, ModChangesEventsAndData) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  EXPECT_OK(poller.add(fd, EPOLLIN, 1));
  EXPECT_OK(poller.control(EPOLL_CTL_MOD, fd, EPOLLOUT, 5));
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_EQ(poller.events[0].events, unsigned{EPOLLOUT});
  EXPECT_EQ(poller.events[0].data.u64, 5u);
}

TEST(Epoll, ControlErrors) {
  Poller poller;
  UniqueFd fd = event_fd();
  EXPECT_ERR(poller.control(EPOLL_CTL_MOD, fd, EPOLLIN), ENOENT);
  EXPECT_ERR(poller.control(EPOLL_CTL_DEL, fd, 0), ENOENT);
  EXPECT_OK(poller.add(fd, EPOLLIN));
  EXPECT_ERR(poller.add(fd, EPOLLIN), EEXIST);
  EXPECT_ERR(poller.control(77, fd, 0), EINVAL);
  EXPECT_ERR(poller.add(poller.fd, EPOLLIN), EINVAL);
  write_file("f", "x");
  UniqueFd file(MUST(open("f", O_RDONLY)));
  EXPECT_ERR(poller.add(file, EPOLLIN), EPERM);
  epoll_event event = {};
  EXPECT_ERR(epoll_ctl(poller.fd.get(), EPOLL_CTL_ADD, 999, &event), EBADF);
  EXPECT_ERR(epoll_ctl(fd.get(), EPOLL_CTL_ADD, fd.get(), &event), EINVAL);
  EXPECT_ERR(epoll_create1(1), EINVAL);
  EXPECT_ERR(epoll_create(0), EINVAL);
}

TEST(Epoll, WaitErrors) {
  Poller poller;
  epoll_event event;
  EXPECT_ERR(epoll_wait(poller.fd.get(), &event, 0, 0), EINVAL);
  EXPECT_ERR(epoll_wait(999, &event, 1, 0), EBADF);
  UniqueFd fd = event_fd(1);
  EXPECT_ERR(epoll_wait(fd.get(), &event, 1, 0), EINVAL);
  poller.add(fd, EPOLLIN);
  EXPECT_ERR(syscall(SYS_epoll_wait, poller.fd.get(), 8, 1, 0), EFAULT);
}

TEST(Epoll, ClosingRemoves) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  EXPECT_OK(poller.add(fd, EPOLLIN));
  fd.reset();
  EXPECT_EQ(poller.wait(), 0);
}

TEST(Epoll, AnotherDescriptorKeepsTheFile) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  UniqueFd copy(MUST(dup(fd.get())));
  EXPECT_OK(poller.add(fd, EPOLLIN));
  EXPECT_OK(poller.add(copy, EPOLLIN));
  fd.reset();
  EXPECT_EQ(poller.wait(), 2);
}

TEST(Epoll, MaxeventsTakesTurns) {
  Poller poller;
  UniqueFd fds[4] = {event_fd(1), event_fd(1), event_fd(1), event_fd(1)};
  for (uint64_t i = 0; i < 4; ++i) EXPECT_OK(poller.add(fds[i], EPOLLIN, i));
  unsigned seen = 0;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(epoll_wait(poller.fd.get(), poller.events, 1, 0), 1);
    seen |= 1u << poller.events[0].data.u64;
  }
  EXPECT_EQ(seen, 15u);
}

TEST(Epoll, TimeoutAndWakeup) {
  Poller poller;
  UniqueFd fd = event_fd();
  EXPECT_OK(poller.add(fd, EPOLLIN));
  int64_t start = now_ms();
  EXPECT_EQ(poller.wait(20), 0);
  EXPECT_GE(now_ms() - start, 19);
  Thread waiter([&] { EXPECT_EQ(poller.wait(-1), 1); });
  wait_until_blocked(waiter.tid());
  eventfd_write(fd.get(), 1);
}

TEST(Epoll, AddingWhileWaitingWakes) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  Thread waiter([&] { EXPECT_EQ(poller.wait(-1), 1); });
  wait_until_blocked(waiter.tid());
  EXPECT_OK(poller.add(fd, EPOLLIN));
}

TEST(Epoll, HangupIsAlwaysReported) {
  Poller poller;
  int fds[2];
  MUST(pipe(fds));
  UniqueFd in(fds[0]), out(fds[1]);
  EXPECT_OK(poller.add(in, 0));
  EXPECT_EQ(poller.wait(), 0);
  out.reset();
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_EQ(poller.events[0].events, unsigned{EPOLLHUP});
}

TEST(Epoll, RdhupOfASocket) {
  Poller poller;
  int fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
  UniqueFd a(fds[0]), b(fds[1]);
  EXPECT_OK(poller.add(a, EPOLLIN | EPOLLRDHUP));
  MUST(shutdown(b.get(), SHUT_WR));
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_EQ(poller.events[0].events, unsigned{EPOLLIN | EPOLLRDHUP});
}

TEST(Epoll, Nested) {
  Poller inner, outer;
  UniqueFd fd = event_fd();
  EXPECT_OK(inner.add(fd, EPOLLIN));
  EXPECT_OK(outer.add(inner.fd, EPOLLIN, 9));
  EXPECT_EQ(outer.wait(), 0);
  eventfd_write(fd.get(), 1);
  EXPECT_EQ(outer.wait(), 1);
  EXPECT_EQ(outer.events[0].data.u64, 9u);
  EXPECT_ERR(inner.add(outer.fd, EPOLLIN), ELOOP);
}

TEST(Epoll, NestedWakesTheOuterWaiter) {
  Poller inner, outer;
  UniqueFd fd = event_fd();
  EXPECT_OK(inner.add(fd, EPOLLIN));
  EXPECT_OK(outer.add(inner.fd, EPOLLIN));
  Thread waiter([&] { EXPECT_EQ(outer.wait(-1), 1); });
  wait_until_blocked(waiter.tid());
  eventfd_write(fd.get(), 1);
}

TEST(Epoll, ExclusiveRules) {
  Poller poller;
  UniqueFd fd = event_fd(1);
  EXPECT_OK(poller.add(fd, EPOLLIN | EPOLLEXCLUSIVE));
  EXPECT_EQ(poller.wait(), 1);
  EXPECT_ERR(poller.control(EPOLL_CTL_MOD, fd, EPOLLIN), EINVAL);
  UniqueFd other = event_fd();
  EXPECT_ERR(poller.add(other, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL);
}

TEST(Epoll, ExclusiveWakesNotAll) {
  // Four pollers wait on one pipe; a byte wakes at least one and not necessarily more.
  int fds[2];
  MUST(pipe2(fds, O_NONBLOCK));
  UniqueFd in(fds[0]), out(fds[1]);
  int woken = 0;
  auto body = [&] {
    Poller poller;
    EXPECT_OK(poller.add(in, EPOLLIN | EPOLLEXCLUSIVE));
    if (poller.wait(5000) == 1) {
      __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
      char byte;
      [[maybe_unused]] ssize_t n = read(in.get(), &byte, 1);
    }
  };
  Thread a(body), b(body), c(body);
  for (Thread* thread : {&a, &b, &c}) wait_until_blocked(thread->tid());
  EXPECT_EQ(write(out.get(), "x", 1), 1);
  for (int i = 0; i < 1000 && __atomic_load_n(&woken, __ATOMIC_SEQ_CST) == 0; ++i) usleep(1000);
  EXPECT_GE(__atomic_load_n(&woken, __ATOMIC_SEQ_CST), 1);
  for (int i = 0; i < 1000 && __atomic_load_n(&woken, __ATOMIC_SEQ_CST) < 3; ++i) {
    EXPECT_EQ(write(out.get(), "y", 1), 1);
    usleep(1000);
  }
}

TEST(Epoll, PwaitUsesItsMask) {
  handle_signal(SIGUSR1, [](int) {});
  block_signal(SIGUSR1);
  Poller poller;
  raise(SIGUSR1);
  sigset_t none;
  sigemptyset(&none);
  EXPECT_ERR(epoll_pwait(poller.fd.get(), poller.events, 8, 1000, &none), EINTR);
  timespec zero = {};
  EXPECT_EQ(epoll_pwait2(poller.fd.get(), poller.events, 8, &zero, nullptr), 0);
}

TEST(Epoll, SharedByForkedProcesses) {
  Poller poller;
  UniqueFd fd = event_fd();
  EXPECT_OK(poller.add(fd, EPOLLIN));
  EXPECT_EXITED(run_child([&] {
                  eventfd_write(fd.get(), 1);
                  EXPECT_EQ(poller.wait(), 1);
                }),
                0);
  EXPECT_EQ(poller.wait(), 1);
}

TEST(Epoll, FdinfoListsTargets) {
  Poller poller;
  UniqueFd fd = event_fd();
  EXPECT_OK(poller.add(fd, EPOLLIN));
  std::string info = read_file(("/proc/self/fdinfo/" + std::to_string(poller.fd.get())).c_str());
  EXPECT_NE(info.find("tfd:"), std::string::npos);
}

}  // namespace
