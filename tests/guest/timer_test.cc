// Timers: alarm(2), setitimer(2), POSIX timers, timerfd.
#include <fcntl.h>
#include <poll.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

volatile sig_atomic_t g_hits;

void hit(int) { g_hits = g_hits + 1; }

void wait_for_hits(int n) {
  for (int i = 0; i < 2000 && g_hits < n; ++i) usleep(1000);
}

TEST(Alarm, FiresOnceAndReturnsTheRest) {
  EXPECT_EQ(alarm(100), 0u);
  EXPECT_EQ(alarm(50), 100u);
  EXPECT_EQ(alarm(0), 50u);
  EXPECT_EQ(alarm(0), 0u);
}

TEST(Itimer, RealRepeats) {
  handle_signal(SIGALRM, hit);
  itimerval value = {{0, 5000}, {0, 5000}};
  EXPECT_OK(setitimer(ITIMER_REAL, &value, nullptr));
  wait_for_hits(3);
  EXPECT_GE(g_hits, 3);
  itimerval off = {}, before = {};
  EXPECT_OK(setitimer(ITIMER_REAL, &off, &before));
  EXPECT_EQ(before.it_interval.tv_usec, 5000);
  EXPECT_OK(getitimer(ITIMER_REAL, &before));
  EXPECT_EQ(before.it_value.tv_usec, 0);
}

volatile int g_sink;

TEST(Itimer, VirtualAndProfCountCpuTime) {
  handle_signal(SIGVTALRM, hit);
  handle_signal(SIGPROF, hit);
  itimerval value = {{0, 0}, {0, 20000}};
  EXPECT_OK(setitimer(ITIMER_VIRTUAL, &value, nullptr));
  EXPECT_OK(setitimer(ITIMER_PROF, &value, nullptr));
  int64_t end = now_ms() + 3000;
  while (g_hits < 2 && now_ms() < end) {
    for (int i = 0; i < 100000; ++i) g_sink = i;
  }
  EXPECT_EQ(g_hits, 2);
}

TEST(Itimer, Errors) {
  itimerval value = {};
  EXPECT_ERR(syscall(SYS_setitimer, 7, &value, nullptr), EINVAL);
  value.it_value.tv_usec = 1000000;
  EXPECT_ERR(setitimer(ITIMER_REAL, &value, nullptr), EINVAL);
  EXPECT_ERR(syscall(SYS_getitimer, 7, &value), EINVAL);
}

timer_t make_timer(int signal, clockid_t clock = CLOCK_MONOTONIC) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signal;
  event.sigev_value.sival_int = 321;
  timer_t timer;
  MUST(timer_create(clock, &event, &timer));
  return timer;
}

TEST(PosixTimer, SignalCarriesItsValue) {
  static volatile int value, code;
  handle_signal_info(SIGRTMIN, [](int, siginfo_t* info, void*) {
    value = info->si_value.sival_int;
    code = info->si_code;
    g_hits = g_hits + 1;
  });
  timer_t timer = make_timer(SIGRTMIN);
  itimerspec when = {{0, 0}, {0, 5000000}};
  EXPECT_OK(timer_settime(timer, 0, &when, nullptr));
  wait_for_hits(1);
  EXPECT_EQ(value, 321);
  EXPECT_EQ(code, SI_TIMER);
  EXPECT_OK(timer_delete(timer));
  EXPECT_ERR(timer_delete(timer), EINVAL);
}

TEST(PosixTimer, OverrunsAreCounted) {
  static volatile int overrun;
  handle_signal_info(SIGRTMIN, [](int, siginfo_t* info, void*) {
    if (g_hits == 0) overrun = info->si_overrun;  // The timer goes on meanwhile.
    g_hits = g_hits + 1;
  });
  timer_t timer = make_timer(SIGRTMIN);
  block_signal(SIGRTMIN);
  itimerspec when = {{0, 1000000}, {0, 1000000}};
  EXPECT_OK(timer_settime(timer, 0, &when, nullptr));
  sleep_ms(30);
  unblock_signal(SIGRTMIN);
  wait_for_hits(1);
  itimerspec off = {};
  timer_settime(timer, 0, &off, nullptr);
  EXPECT_GE(overrun, 10);
}

TEST(PosixTimer, GettimeAndDisarm) {
  timer_t timer = make_timer(SIGUSR1);
  itimerspec when = {{1, 0}, {100, 0}}, now = {};
  EXPECT_OK(timer_settime(timer, 0, &when, nullptr));
  EXPECT_OK(timer_gettime(timer, &now));
  EXPECT_EQ(now.it_interval.tv_sec, 1);
  EXPECT_GE(now.it_value.tv_sec, 99);
  itimerspec off = {};
  EXPECT_OK(timer_settime(timer, 0, &off, &now));
  EXPECT_GE(now.it_value.tv_sec, 99);
  EXPECT_OK(timer_gettime(timer, &now));
  EXPECT_EQ(now.it_value.tv_sec, 0);
  EXPECT_EQ(timer_getoverrun(timer), 0);
}

TEST(PosixTimer, AbsoluteInThePastFiresAtOnce) {
  handle_signal(SIGUSR1, hit);
  timer_t timer = make_timer(SIGUSR1);
  itimerspec when = {{0, 0}, {1, 0}};
  EXPECT_OK(timer_settime(timer, TIMER_ABSTIME, &when, nullptr));
  wait_for_hits(1);
  EXPECT_EQ(g_hits, 1);
}

TEST(PosixTimer, ToAThread) {
  static volatile pid_t receiver;
  handle_signal(SIGUSR1, [](int) { receiver = gettid(); });
  Thread thread([] {
    while (receiver == 0) usleep(500);
  });
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGUSR1;
  event._sigev_un._tid = thread.tid();
  timer_t timer;
  MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
  itimerspec when = {{0, 0}, {0, 1000000}};
  EXPECT_OK(timer_settime(timer, 0, &when, nullptr));
  thread.join();
  EXPECT_EQ(receiver, thread.tid());
}

TEST(PosixTimer, NotInheritedByFork) {
  timer_t timer = make_timer(SIGUSR1);
  EXPECT_EXITED(run_child([&] {
                  itimerspec now;
                  EXPECT_ERR(timer_gettime(timer, &now), EINVAL);
                }),
                0);
}

TEST(PosixTimer, Errors) {
  timer_t timer;
  EXPECT_ERR(timer_create(99, nullptr, &timer), EINVAL);
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 65;
  EXPECT_ERR(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
  timer = make_timer(SIGUSR1);
  itimerspec bad = {{0, 0}, {0, 1000000000}};
  EXPECT_ERR(timer_settime(timer, 0, &bad, nullptr), EINVAL);
}

TEST(PosixTimer, CpuTimeClock) {
  handle_signal(SIGUSR1, hit);
  timer_t timer = make_timer(SIGUSR1, CLOCK_PROCESS_CPUTIME_ID);
  itimerspec when = {{0, 0}, {0, 20000000}};
  EXPECT_OK(timer_settime(timer, 0, &when, nullptr));
  int64_t end = now_ms() + 3000;
  while (g_hits < 1 && now_ms() < end) {
    for (int i = 0; i < 100000; ++i) g_sink = i;
  }
  EXPECT_EQ(g_hits, 1);
}

TEST(Timerfd, ReadCountsExpirations) {
  UniqueFd fd(MUST(timerfd_create(CLOCK_MONOTONIC, 0)));
  itimerspec when = {{0, 5000000}, {0, 5000000}};
  EXPECT_OK(timerfd_settime(fd.get(), 0, &when, nullptr));
  uint64_t count = 0;
  EXPECT_EQ(read(fd.get(), &count, sizeof count), 8);
  EXPECT_GE(count, 1u);
  sleep_ms(30);
  EXPECT_EQ(read(fd.get(), &count, sizeof count), 8);
  EXPECT_GE(count, 4u);
}

TEST(Timerfd, NonblockingAndPoll) {
  UniqueFd fd(MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)));
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  uint64_t count;
  EXPECT_ERR(read(fd.get(), &count, sizeof count), EAGAIN);
  itimerspec when = {{0, 0}, {0, 10000000}};
  EXPECT_OK(timerfd_settime(fd.get(), 0, &when, nullptr));
  pollfd poll_fd = {fd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 2000), 1);
  EXPECT_EQ(read(fd.get(), &count, sizeof count), 8);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  EXPECT_ERR(read(fd.get(), &count, 4), EINVAL);
}

TEST(Timerfd, GettimeAndAbsolute) {
  UniqueFd fd(MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)));
  itimerspec when = {{0, 0}, {100, 0}}, now = {};
  EXPECT_OK(timerfd_settime(fd.get(), 0, &when, nullptr));
  EXPECT_OK(timerfd_gettime(fd.get(), &now));
  EXPECT_GE(now.it_value.tv_sec, 99);
  when = {{0, 0}, {0, 1}};  // Long ago.
  EXPECT_OK(timerfd_settime(fd.get(), TFD_TIMER_ABSTIME, &when, &now));
  EXPECT_GE(now.it_value.tv_sec, 99);
  pollfd poll_fd = {fd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 2000), 1);
}

TEST(Timerfd, Errors) {
  EXPECT_ERR(timerfd_create(99, 0), EINVAL);
  EXPECT_ERR(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
  UniqueFd null(MUST(open("/dev/null", O_RDONLY)));
  itimerspec when = {};
  EXPECT_ERR(timerfd_settime(null.get(), 0, &when, nullptr), EINVAL);
  EXPECT_ERR(timerfd_gettime(999, &when), EBADF);
  UniqueFd fd(MUST(timerfd_create(CLOCK_MONOTONIC, 0)));
  when.it_value.tv_nsec = -1;
  EXPECT_ERR(timerfd_settime(fd.get(), 0, &when, nullptr), EINVAL);
  EXPECT_ERR(timerfd_settime(fd.get(), 0x80, &when, nullptr), EINVAL);
}

TEST(Timerfd, SharedAcrossFork) {
  UniqueFd fd(MUST(timerfd_create(CLOCK_MONOTONIC, 0)));
  itimerspec when = {{0, 0}, {0, 10000000}};
  EXPECT_OK(timerfd_settime(fd.get(), 0, &when, nullptr));
  EXPECT_EXITED(run_child([&] {
                  uint64_t count;
                  EXPECT_EQ(read(fd.get(), &count, sizeof count), 8);
                }),
                0);
}

}  // namespace
