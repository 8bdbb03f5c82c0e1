// sched_*(2), getcpu(2), times(2), getrusage(2): scheduling and accounting.
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/times.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

TEST(Sched, PolicyIsOther) {
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  EXPECT_EQ(sched_getscheduler(getpid()), SCHED_OTHER);
  EXPECT_ERR(sched_getscheduler(-1), EINVAL);
  EXPECT_ERR(sched_getscheduler(1 << 22), ESRCH);
}

TEST(Sched, BatchAndIdle) {
  sched_param zero = {};
  EXPECT_OK(sched_setscheduler(0, SCHED_BATCH, &zero));
  EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
  EXPECT_OK(sched_setscheduler(0, SCHED_IDLE, &zero));
  EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
  // The way back from SCHED_IDLE is a promotion.
  if (has_capability(CAP_SYS_NICE)) EXPECT_OK(sched_setscheduler(0, SCHED_OTHER, &zero));
}

TEST(Sched, BadParameters) {
  sched_param one = {};
  one.sched_priority = 1;
  EXPECT_ERR(sched_setscheduler(0, SCHED_OTHER, &one), EINVAL);
  EXPECT_ERR(sched_setscheduler(0, 99, &one), EINVAL);
  EXPECT_ERR(sched_setscheduler(0, SCHED_OTHER, nullptr), EINVAL);
  EXPECT_ERR(sched_setparam(0, &one), EINVAL);
}

TEST(Sched, RealtimeNeedsPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  sched_param one = {};
                  one.sched_priority = 1;
                  EXPECT_ERR(sched_setscheduler(0, SCHED_FIFO, &one), EPERM);
                }),
                0);
}

TEST(Sched, PriorityRanges) {
  EXPECT_EQ(sched_get_priority_min(SCHED_FIFO), 1);
  EXPECT_EQ(sched_get_priority_max(SCHED_FIFO), 99);
  EXPECT_EQ(sched_get_priority_min(SCHED_OTHER), 0);
  EXPECT_EQ(sched_get_priority_max(SCHED_OTHER), 0);
  EXPECT_ERR(sched_get_priority_max(99), EINVAL);
}

TEST(Sched, GetparamAndInterval) {
  sched_param param = {77};
  EXPECT_OK(sched_getparam(0, &param));
  EXPECT_EQ(param.sched_priority, 0);
  timespec interval = {-1, -1};
  EXPECT_OK(sched_rr_get_interval(0, &interval));
  EXPECT_GE(interval.tv_sec, 0);
}

TEST(Sched, Yield) {
  for (int i = 0; i < 100; ++i) EXPECT_OK(sched_yield());
}

// As often as a platform may need to answer it by itself.
TEST(Sched, GetcpuManyTimes) {
  for (int i = 0; i < 100; ++i) {
    unsigned cpu = 12345, node = 12345;
    EXPECT_OK(syscall(SYS_getcpu, &cpu, &node, nullptr));
    EXPECT_LT(cpu, 1024u);
    EXPECT_EQ(node, 0u);
    EXPECT_OK(syscall(SYS_getcpu, nullptr, nullptr, nullptr));
    EXPECT_ERR(syscall(SYS_getcpu, 8, nullptr, nullptr), EFAULT);
    EXPECT_ERR(syscall(SYS_getcpu, &cpu, -8, nullptr), EFAULT);
  }
}

TEST(Affinity, OwnMaskHasTheCurrentCpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_OK(sched_getaffinity(0, sizeof set, &set));
  EXPECT_GE(CPU_COUNT(&set), 1);
  int cpu = sched_getcpu();
  EXPECT_GE(cpu, 0);
  EXPECT_TRUE(CPU_ISSET(cpu, &set));
}

TEST(Affinity, OneCpuAndBack) {
  cpu_set_t all, one, got;
  CPU_ZERO(&all);
  MUST(sched_getaffinity(0, sizeof all, &all));
  int cpu = 0;
  while (!CPU_ISSET(cpu, &all)) ++cpu;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  EXPECT_OK(sched_setaffinity(0, sizeof one, &one));
  MUST(sched_getaffinity(0, sizeof got, &got));
  EXPECT_EQ(CPU_COUNT(&got), 1);
  EXPECT_EQ(sched_getcpu(), cpu);
  EXPECT_EXITED(run_child([&] {
                  cpu_set_t child;
                  MUST(sched_getaffinity(0, sizeof child, &child));
                  EXPECT_TRUE(CPU_EQUAL(&child, &one));
                }),
                0);
  EXPECT_OK(sched_setaffinity(0, sizeof all, &all));
}

TEST(Affinity, Errors) {
  cpu_set_t none;
  CPU_ZERO(&none);
  EXPECT_ERR(sched_setaffinity(0, sizeof none, &none), EINVAL);
  EXPECT_ERR(sched_getaffinity(0, 1, &none), EINVAL);
  EXPECT_ERR(sched_getaffinity(1 << 22, sizeof none, &none), ESRCH);
  EXPECT_ERR(syscall(SYS_sched_getaffinity, 0, 8, 8), EFAULT);
}

TEST(Affinity, RawCallReturnsTheSize) {
  unsigned long words[128] = {};
  long size = syscall(SYS_sched_getaffinity, 0, sizeof words, words);
  EXPECT_GT(size, 0);
  EXPECT_EQ(size % 8, 0);
}

TEST(Affinity, ShownInStatus) {
  EXPECT_NE(proc_field("/proc/self/status", "Cpus_allowed"), "");
  EXPECT_NE(proc_field("/proc/self/status", "Cpus_allowed_list"), "");
}

TEST(Getcpu, Works) {
  unsigned cpu = -1u, node = -1u;
  EXPECT_OK(syscall(SYS_getcpu, &cpu, &node, nullptr));
  EXPECT_LT(cpu, 4096u);
  EXPECT_OK(syscall(SYS_getcpu, nullptr, nullptr, nullptr));
}

TEST(SchedAttr, GetAndSet) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
  } attr = {};
  EXPECT_OK(syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0));
  EXPECT_EQ(attr.policy, unsigned{SCHED_OTHER});
  EXPECT_GE(attr.size, 48u);
  attr.nice = 3;
  attr.size = 48;
  EXPECT_OK(syscall(SYS_sched_setattr, 0, &attr, 0));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 3);
  EXPECT_ERR(syscall(SYS_sched_getattr, 0, &attr, 16, 0), EINVAL);
  EXPECT_ERR(syscall(SYS_sched_getattr, 0, nullptr, sizeof attr, 0), EINVAL);
}

volatile int g_sink;

int64_t cpu_ms() {
  timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return ts.tv_sec * int64_t{1000} + ts.tv_nsec / 1000000;
}

// Of CPU time: on a busy machine others may have most of a while.
void burn(int64_t ms) {
  const int64_t end = cpu_ms() + ms;
  while (cpu_ms() < end) ++g_sink;
}

TEST(Accounting, GetrusageGrows) {
  rusage before = {}, after = {};
  EXPECT_OK(getrusage(RUSAGE_SELF, &before));
  burn(30);
  EXPECT_OK(getrusage(RUSAGE_SELF, &after));
  int64_t us = (after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec -
                before.ru_stime.tv_sec) *
                   int64_t{1000000} +
               after.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_utime.tv_usec -
               before.ru_stime.tv_usec;
  EXPECT_GT(us, 2000);
  EXPECT_GT(after.ru_maxrss, 0);
  EXPECT_ERR(getrusage(static_cast<__rusage_who>(77), &after), EINVAL);
}

TEST(Accounting, Times) {
  tms before = {}, after = {};
  clock_t start = times(&before);
  burn(50);
  clock_t end = times(&after);
  EXPECT_GE(end - start, 4);
  EXPECT_GT(after.tms_utime + after.tms_stime, before.tms_utime + before.tms_stime);
}

TEST(Accounting, ChildrenCountOnlyOnceReaped) {
  tms before = {}, after = {};
  times(&before);
  EXPECT_EXITED(run_child([] { burn(50); }), 0);
  times(&after);
  EXPECT_GT(after.tms_cutime + after.tms_cstime, before.tms_cutime + before.tms_cstime);
}

}  // namespace
