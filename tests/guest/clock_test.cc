// clock_*(2), gettimeofday(2), time(2), nanosleep(2), through the vDSO and as calls.
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timex.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

int64_t ns_of(clockid_t clock) {
  timespec now = {};
  EXPECT_OK(clock_gettime(clock, &now));
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

int64_t raw_ns_of(clockid_t clock) {
  timespec now = {};
  EXPECT_OK(syscall(SYS_clock_gettime, clock, &now));
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

TEST(Clock, AllClocksRun) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                          CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
                          CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI}) {
    int64_t first = ns_of(clock);
    int64_t second = ns_of(clock);
    EXPECT_GT(first, 0);
    EXPECT_GE(second, first);
  }
}

TEST(Clock, CallAndVdsoAgree) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW}) {
    int64_t a = ns_of(clock);
    int64_t b = raw_ns_of(clock);
    int64_t c = ns_of(clock);
    EXPECT_LE(a, b);
    EXPECT_LE(b, c);
  }
}

TEST(Clock, CoarseIsCloseBehind) {
  int64_t coarse = ns_of(CLOCK_MONOTONIC_COARSE);
  int64_t fine = ns_of(CLOCK_MONOTONIC);
  EXPECT_LE(coarse, fine);
  EXPECT_LT(fine - coarse, 100000000);
}

TEST(Clock, MonotonicNeverGoesBack) {
  int64_t last = 0;
  for (int i = 0; i < 10000; ++i) {
    int64_t now = ns_of(CLOCK_MONOTONIC);
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Clock, TimeOfDayAgrees) {
  int64_t before = ns_of(CLOCK_REALTIME) / 1000;
  timeval now;
  EXPECT_OK(gettimeofday(&now, nullptr));
  int64_t us = now.tv_sec * int64_t{1000000} + now.tv_usec;
  int64_t after = ns_of(CLOCK_REALTIME) / 1000;
  EXPECT_LE(before, us);
  EXPECT_LE(us, after);
  time_t seconds = time(nullptr);
  EXPECT_LE(seconds - us / 1000000, 1);
  EXPECT_OK(syscall(SYS_gettimeofday, &now, nullptr));
  EXPECT_GE(syscall(SYS_time, nullptr), us / 1000000 - 1);
}

TEST(Clock, UnknownIsEinval) {
  timespec now;
  EXPECT_ERR(syscall(SYS_clock_gettime, 99, &now), EINVAL);
  EXPECT_ERR(syscall(SYS_clock_getres, 99, &now), EINVAL);
  EXPECT_ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8), EFAULT);
}

TEST(Clock, Resolution) {
  timespec resolution = {1, 1};
  EXPECT_OK(clock_getres(CLOCK_MONOTONIC, &resolution));
  EXPECT_EQ(resolution.tv_sec, 0);
  EXPECT_EQ(resolution.tv_nsec, 1);
  EXPECT_OK(clock_getres(CLOCK_MONOTONIC_COARSE, &resolution));
  EXPECT_GE(resolution.tv_nsec, 1000000);
  EXPECT_OK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, nullptr));
}

volatile int g_sink;

TEST(Clock, CpuClocksCountWork) {
  int64_t process = ns_of(CLOCK_PROCESS_CPUTIME_ID);
  int64_t thread = ns_of(CLOCK_THREAD_CPUTIME_ID);
  int64_t end = now_ms() + 30;
  while (now_ms() < end) g_sink = g_sink + 1;
  EXPECT_GT(ns_of(CLOCK_PROCESS_CPUTIME_ID) - process, 2000000);
  EXPECT_GT(ns_of(CLOCK_THREAD_CPUTIME_ID) - thread, 2000000);
}

TEST(Clock, CpuClocksDoNotCountSleep) {
  int64_t before = ns_of(CLOCK_THREAD_CPUTIME_ID);
  sleep_ms(50);
  EXPECT_LT(ns_of(CLOCK_THREAD_CPUTIME_ID) - before, 30000000);
}

TEST(Clock, ClockOfAnotherProcess) {
  pid_t pid = fork_child([] { pause(); });
  clockid_t clock;
  EXPECT_EQ(clock_getcpuclockid(pid, &clock), 0);
  EXPECT_GE(ns_of(clock), 0);
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
  timespec now;
  EXPECT_ERR(clock_gettime(clock, &now), EINVAL);
}

TEST(Clock, SettingNeedsPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  timespec now = {};
                  clock_gettime(CLOCK_REALTIME, &now);
                  EXPECT_ERR(clock_settime(CLOCK_REALTIME, &now), EPERM);
                  timeval time = {};
                  EXPECT_ERR(settimeofday(&time, nullptr), EPERM);
                }),
                0);
  timespec now = {};
  EXPECT_ERR(clock_settime(CLOCK_MONOTONIC, &now), EINVAL);
}

// Timestamps are of the clock that the system has, whatever was done to it.
TEST(Clock, FilesHaveTheTimeOfDay) {
  constexpr int64_t kNear = 2'000'000'000;
  const auto set = [](int64_t seconds) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += seconds;
    MUST(clock_settime(CLOCK_REALTIME, &now));
  };
  const auto difference = [](const timespec& t) {
    return std::abs(t.tv_sec * 1'000'000'000 + t.tv_nsec - ns_of(CLOCK_REALTIME));
  };
  const auto check = [&] {
    UniqueFd file(MUST(memfd_create("time", 0)));
    struct stat st;
    MUST(fstat(file.get(), &st));
    EXPECT_LT(difference(st.st_ctim), kNear);
    MUST(write(file.get(), "x", 1));
    MUST(futimens(file.get(), nullptr));
    MUST(fstat(file.get(), &st));
    EXPECT_LT(difference(st.st_mtim), kNear);
    EXPECT_LT(difference(st.st_atim), kNear);
  };
  check();
  if (!getenv("OWN_MACHINE")) return;
  for (const int64_t seconds : {-3600, 7200, -3600}) {
    set(seconds);
    check();
  }
}

TEST(Clock, AdjtimexReads) {
  timex state = {};
  EXPECT_GE(adjtimex(&state), 0);
  EXPECT_GT(state.tick, 0);
}

TEST(Sleep, TakesItsTime) {
  int64_t start = now_ms();
  timespec time = ms_to_timespec(30);
  EXPECT_OK(nanosleep(&time, nullptr));
  EXPECT_GE(now_ms() - start, 29);
}

TEST(Sleep, BadTimes) {
  timespec time = {0, 1000000000};
  EXPECT_ERR(nanosleep(&time, nullptr), EINVAL);
  time = {-1, 0};
  EXPECT_ERR(nanosleep(&time, nullptr), EINVAL);
  time = {0, 0};
  EXPECT_OK(nanosleep(&time, nullptr));
  EXPECT_ERR(syscall(SYS_nanosleep, 8, nullptr), EFAULT);
}

TEST(Sleep, Absolute) {
  timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  int64_t start = now_ms();
  until.tv_nsec += 30000000;
  if (until.tv_nsec >= 1000000000) until = {until.tv_sec + 1, until.tv_nsec - 1000000000};
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr), 0);
  EXPECT_GE(now_ms() - start, 28);
  until = {1, 0};
  EXPECT_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr), 0);
}

TEST(Sleep, OtherClocks) {
  timespec time = ms_to_timespec(1);
  EXPECT_EQ(clock_nanosleep(CLOCK_BOOTTIME, 0, &time, nullptr), 0);
  EXPECT_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, nullptr), EINVAL);
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &time, nullptr), EOPNOTSUPP);
  EXPECT_EQ(clock_nanosleep(77, 0, &time, nullptr), EINVAL);
}

TEST(Vdso, IsMapped) {
  auto base = getauxval(AT_SYSINFO_EHDR);
  ASSERT_NE(base, 0u);
  EXPECT_EQ(memcmp(reinterpret_cast<void*>(base), "\177ELF", 4), 0);
  EXPECT_NE(read_file("/proc/self/maps").find("[vdso]"), std::string::npos);
}

int64_t call_clock(clockid_t clock) {
  timespec now = {};
  EXPECT_OK(syscall(SYS_clock_gettime, clock, &now));
  EXPECT_TRUE(now.tv_nsec >= 0 && now.tv_nsec < 1'000'000'000);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

TEST(Vdso, SignalsComeInTheMidstOfIt) {
  static volatile int signals = 0;
  handle_signal(SIGALRM, [](int) { signals = signals + 1; });
  const itimerval often = {{0, 1000}, {0, 1000}};
  MUST(setitimer(ITIMER_REAL, &often, nullptr));
  while (signals < 50) ns_of(CLOCK_MONOTONIC);
  const itimerval never = {};
  MUST(setitimer(ITIMER_REAL, &never, nullptr));
}

// As often as a platform may need to answer by itself.
TEST(ClockCalls, AgreeWithTheVdso) {
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME_COARSE,
                          CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW}) {
    int64_t last = call_clock(clock);
    for (int i = 0; i < 50; ++i) {
      timespec between = {};
      EXPECT_OK(clock_gettime(clock, &between));
      const int64_t seen = between.tv_sec * int64_t{1'000'000'000} + between.tv_nsec;
      const int64_t now = call_clock(clock);
      EXPECT_TRUE(last <= seen && seen <= now);
      last = now;
    }
  }
}

TEST(ClockCalls, TimeAndGettimeofday) {
  for (int i = 0; i < 50; ++i) {
    timeval tv = {};
    time_t stored = 0;
    const int64_t before = call_clock(CLOCK_REALTIME) / 1000;
    EXPECT_OK(syscall(SYS_gettimeofday, &tv, nullptr));
    const int64_t at = tv.tv_sec * int64_t{1'000'000} + tv.tv_usec;
    EXPECT_TRUE(before <= at && at <= call_clock(CLOCK_REALTIME) / 1000);
    const long seconds = syscall(SYS_time, &stored);
    EXPECT_EQ(seconds, stored);
    EXPECT_TRUE(seconds >= tv.tv_sec && seconds <= tv.tv_sec + 1);
    EXPECT_TRUE(syscall(SYS_time, nullptr) >= seconds);
    struct timezone zone = {5, 5};
    EXPECT_OK(syscall(SYS_gettimeofday, &tv, &zone));
    EXPECT_OK(syscall(SYS_gettimeofday, nullptr, nullptr));
  }
}

TEST(ClockCalls, Errors) {
  timespec now;
  for (int i = 0; i < 50; ++i) {
    EXPECT_ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8), EFAULT);
    EXPECT_ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, -16), EFAULT);
    EXPECT_ERR(syscall(SYS_clock_gettime, 77, &now), EINVAL);
    EXPECT_ERR(syscall(SYS_gettimeofday, 8, nullptr), EFAULT);
    EXPECT_ERR(syscall(SYS_time, 8), EFAULT);
  }
}

}  // namespace
