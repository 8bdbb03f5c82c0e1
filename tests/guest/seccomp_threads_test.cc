// seccomp(2) and threads: inheritance, TSYNC, verdicts that end one thread.
#include <linux/capability.h>
#include <sched.h>

#include <atomic>

#include "tests/guest/seccomp_filters.h"

namespace {

using namespace guest;

const Filter kNoParent = on_call(SYS_getppid, SECCOMP_RET_ERRNO | EREMOTE);
const Filter kNoUid = on_call(SYS_getuid, SECCOMP_RET_ERRNO | EDOTDOT);

bool sees_no_parent() { return syscall(SYS_getppid) == -1 && errno == EREMOTE; }

// A thread that makes calls when told to and says what came of them.
class Puppet {
 public:
  Puppet() : thread_([this] { work(); }) {}
  ~Puppet() { run(nullptr); }
  pid_t tid() const { return thread_.tid(); }
  void run(void (*job)()) {
    begin(job);
    wait();
  }
  void begin(void (*job)()) {
    job_ = job;
    state_.store(1, std::memory_order_release);
  }
  void wait() {
    while (state_.load(std::memory_order_acquire) == 1) sched_yield();
  }

 private:
  void work() {
    for (;;) {
      while (state_.load(std::memory_order_acquire) != 1) sched_yield();
      void (*job)() = job_;
      if (job != nullptr) job();
      state_.store(2, std::memory_order_release);
      if (job == nullptr) return;
    }
  }
  std::atomic<int> state_{0};
  void (*job_)() = nullptr;
  Thread thread_;
};

TEST(SeccompThreads, AFilterIsAThreadsOwn) {
  Puppet other;
  confine(kNoParent);
  EXPECT_TRUE(sees_no_parent());
  other.run([] {
    EXPECT_FALSE(sees_no_parent());
    EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
  });
  Puppet later;  // Born with it.
  later.run([] { EXPECT_TRUE(sees_no_parent()); });
}

TEST(SeccompThreads, TsyncReachesAll) {
  Puppet a, b;
  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  confine(kNoUid);
  confine(kNoParent, SECCOMP_FILTER_FLAG_TSYNC);
  for (Puppet* p : {&a, &b}) {
    p->run([] {
      EXPECT_TRUE(sees_no_parent());
      EXPECT_ERR(syscall(SYS_getuid), EDOTDOT);
      EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
      EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
      EXPECT_EQ(proc_field("/proc/thread-self/status", "Seccomp_filters"), "2");
    });
  }
}

TEST(SeccompThreads, TsyncDoesNotInventNoNewPrivs) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  Puppet other;
  EXPECT_EQ(set_filter(kNoParent, SECCOMP_FILTER_FLAG_TSYNC), 0);
  other.run([] {
    EXPECT_TRUE(sees_no_parent());
    EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  });
}

TEST(SeccompThreads, TsyncNamesWhoIsInTheWay) {
  Puppet other;
  other.run([] { confine(kNoUid); });
  no_new_privs();
  EXPECT_EQ(set_filter(kNoParent, SECCOMP_FILTER_FLAG_TSYNC), other.tid());
  EXPECT_ERR(set_filter(kNoParent, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH),
             ESRCH);
  EXPECT_FALSE(sees_no_parent());
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
  // Without the flag it is this thread's business alone.
  EXPECT_EQ(set_filter(kNoParent), 0);
}

TEST(SeccompThreads, TsyncOverAncestors) {
  confine(kNoUid);
  Puppet other;  // Shares the first filter.
  confine(kNoParent);
  EXPECT_EQ(set_filter({verdict(SECCOMP_RET_ALLOW)}, SECCOMP_FILTER_FLAG_TSYNC), 0);
  other.run([] {
    EXPECT_TRUE(sees_no_parent());
    EXPECT_EQ(proc_field("/proc/thread-self/status", "Seccomp_filters"), "3");
  });
  // What the other adds is none of this one's.
  other.run([] { EXPECT_EQ(set_filter({verdict(SECCOMP_RET_ALLOW)}), 0); });
  EXPECT_EQ(set_filter({verdict(SECCOMP_RET_ALLOW)}, SECCOMP_FILTER_FLAG_TSYNC), other.tid());
}

TEST(SeccompThreads, TsyncCannotChangeStrictThreads) {
  static std::atomic<bool> strict, stop;
  strict = stop = false;
  Thread other([] {
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    strict = true;
    while (!stop) {
    }
    syscall(SYS_exit, 0);
  });
  while (!strict) sched_yield();
  no_new_privs();
  EXPECT_EQ(set_filter(kNoParent, SECCOMP_FILTER_FLAG_TSYNC), other.tid());
  stop = true;
}

// A call that follows TSYNC's return is judged, however busy its thread is with calls that a
// platform might answer by itself.
TEST(SeccompThreads, TsyncHoldsAtOnce) {
  for (int round = 0; round < rounds(10); ++round) {
    EXPECT_EXITED(run_child([] {
                    static std::atomic<bool> installed, stop;
                    static std::atomic<int> ready, wrong, judged;
                    auto body = [] {
                      for (int i = 0; i < rounds(500); ++i)
                        syscall(SYS_getpid), getpid(), getppid();
                      ++ready;
                      while (!stop) {
                        const bool before = installed.load();
                        const bool refused = getpid() == -1;
                        const bool refused_too = syscall(SYS_gettid) == -1;
                        if (before) ++judged;
                        if (before && (!refused || !refused_too)) ++wrong;
                      }
                    };
                    Thread a(body), b(body);
                    while (ready < 2) sched_yield();
                    no_new_privs();
                    const Filter filter = {
                        load(0), if_equal(SYS_getpid, 1, 0), if_equal(SYS_gettid, 0, 1),
                        verdict(SECCOMP_RET_ERRNO | EPERM), verdict(SECCOMP_RET_ALLOW)};
                    ASSERT_EQ(set_filter(filter, SECCOMP_FILTER_FLAG_TSYNC), 0);
                    installed = true;
                    while (judged < rounds(1000)) sched_yield();
                    stop = true;
                    a.join(), b.join();
                    EXPECT_EQ(wrong.load(), 0);
                  }),
                  0);
  }
}

TEST(SeccompThreads, OwnCallsAreJudgedAtOnce) {
  for (int i = 0; i < rounds(500); ++i) getpid(), getuid(), sched_yield();
  confine(on_call(SYS_getpid, SECCOMP_RET_ERRNO | EPERM));
  EXPECT_EQ(getpid(), -1);
  confine(on_call(SYS_sched_yield, SECCOMP_RET_ERRNO | EPERM));
  EXPECT_ERR(sched_yield(), EPERM);
  timespec now;
  confine(on_call(SYS_clock_gettime, SECCOMP_RET_ERRNO | EPERM));
  EXPECT_ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now), EPERM);
}

TEST(SeccompThreads, KillThreadLeavesTheOthers) {
  EXPECT_EXITED(run_child([] {
                  static std::atomic<int> done;
                  Thread other([] {
                    confine(on_call(SYS_getppid, SECCOMP_RET_KILL_THREAD));
                    done = 1;
                    getppid();
                    done = 2;
                  });
                  other.join();
                  EXPECT_EQ(done.load(), 1);
                  EXPECT_GT(getppid(), 0);
                }),
                0);
  // The leader goes; the process ends with the last thread.
  const pid_t pid = fork();
  if (pid == 0) {
    static Thread* other = new Thread([] {
      wait_for_state(getpid(), "Z");
      syscall(SYS_exit, 33);
    });
    (void)other;
    confine(on_call(SYS_getppid, SECCOMP_RET_KILL_THREAD));
    getppid();
  }
  EXPECT_EXITED(wait_for(pid), 33);
}

TEST(SeccompThreads, KillOfTheLastThreadEndsTheProcess) {
  EXPECT_KILLED(run_child([] {
                  Thread other([] {
                    wait_for_state(getpid(), "Z");
                    confine(on_call(SYS_getppid, SECCOMP_RET_KILL_THREAD));
                    getppid();
                  });
                  syscall(SYS_exit, 5);
                }),
                SIGSYS);
}

TEST(SeccompThreads, KillProcessEndsAll) {
  EXPECT_KILLED(run_child([] {
                  Thread other([] {
                    confine(on_call(SYS_getppid, SECCOMP_RET_KILL_PROCESS));
                    getppid();
                  });
                  pause();
                }),
                SIGSYS);
}

TEST(SeccompThreads, StrictModeEndsItsThreadOnly) {
  EXPECT_EXITED(run_child([] {
                  Thread other([] {
                    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
                    getppid();
                  });
                  other.join();
                  EXPECT_GT(getppid(), 0);
                }),
                0);
}

TEST(SeccompThreads, ExecInAThreadKeepsItsFilter) {
  EXPECT_KILLED(run_child([] {
                  Thread other([] {
                    confine(on_call(SYS_exit_group, SECCOMP_RET_KILL_PROCESS));
                    execl("/proc/self/exe", "test", "--list", nullptr);
                  });
                  pause();
                }),
                SIGSYS);
}

}  // namespace
