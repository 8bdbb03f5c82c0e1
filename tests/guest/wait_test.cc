// wait4(2), waitid(2), exit(2), exit_group(2).
#include <sys/resource.h>
#include <sys/utsname.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// glibc's waitid() hides the fifth argument.
int raw_waitid(int type, id_t id, siginfo_t* info, int options, rusage* usage) {
  return static_cast<int>(syscall(SYS_waitid, type, id, info, options, usage));
}

TEST(Wait, ExitCodeIsItsLowByte) {
  EXPECT_EXITED(run_child([] { _exit(0x1234); }), 0x34);
  EXPECT_EXITED(run_child([] { _exit(-1); }), 255);
}

TEST(Wait, NoChildren) {
  EXPECT_ERR(waitpid(-1, nullptr, 0), ECHILD);
  EXPECT_ERR(waitpid(getpid(), nullptr, 0), ECHILD);
  EXPECT_ERR(waitpid(1, nullptr, WNOHANG), ECHILD);
}

TEST(Wait, BadOptions) {
  EXPECT_ERR(waitpid(-1, nullptr, 0x40), EINVAL);
  siginfo_t info;
  EXPECT_ERR(waitid(P_ALL, 0, &info, 0), EINVAL);
  EXPECT_ERR(waitid(P_ALL, 0, &info, WEXITED | 0x40), EINVAL);
  EXPECT_ERR(waitid(static_cast<idtype_t>(77), 0, &info, WEXITED), EINVAL);
}

TEST(Wait, NohangIsZeroWhileTheChildRuns) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  int status = 77;
  EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);
  EXPECT_EQ(status, 77);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Wait, WaitidNohangClearsTheInfo) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  siginfo_t info;
  memset(&info, 0xff, sizeof info);
  EXPECT_EQ(waitid(P_PID, pid, &info, WEXITED | WNOHANG), 0);
  EXPECT_EQ(info.si_pid, 0);
  EXPECT_EQ(info.si_signo, 0);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Wait, WaitidReportsAnExit) {
  pid_t pid = fork_child([] { _exit(5); });
  siginfo_t info = {};
  EXPECT_EQ(waitid(P_PID, pid, &info, WEXITED), 0);
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_status, 5);
  EXPECT_EQ(info.si_uid, getuid());
}

TEST(Wait, WaitidReportsAKill) {
  pid_t pid = fork_child([] { pause(); });
  MUST(kill(pid, SIGTERM));
  siginfo_t info = {};
  EXPECT_EQ(waitid(P_PID, pid, &info, WEXITED), 0);
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGTERM);
}

TEST(Wait, NowaitLeavesTheZombie) {
  pid_t pid = fork_child([] { _exit(9); });
  siginfo_t info = {};
  EXPECT_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(info.si_status, 9);
  EXPECT_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
  EXPECT_EXITED(wait_for(pid), 9);
  EXPECT_ERR(waitpid(pid, nullptr, 0), ECHILD);
}

TEST(Wait, StoppedAndContinued) {
  pid_t pid = fork_child([] {
    raise(SIGSTOP);
    raise(SIGSTOP);
  });
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
  MUST(kill(pid, SIGCONT));
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT_TRUE(WIFSTOPPED(status));
  MUST(kill(pid, SIGCONT));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Wait, ContinuedIsReportedOnce) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  MUST(kill(pid, SIGSTOP));
  siginfo_t info = {};
  EXPECT_EQ(waitid(P_PID, pid, &info, WSTOPPED), 0);
  EXPECT_EQ(info.si_code, CLD_STOPPED);
  EXPECT_EQ(info.si_status, SIGSTOP);
  MUST(kill(pid, SIGCONT));
  EXPECT_EQ(waitid(P_PID, pid, &info, WCONTINUED), 0);
  EXPECT_EQ(info.si_code, CLD_CONTINUED);
  EXPECT_EQ(info.si_status, SIGCONT);
  EXPECT_EQ(waitid(P_PID, pid, &info, WCONTINUED | WNOHANG), 0);
  EXPECT_EQ(info.si_pid, 0);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Wait, StoppedWithoutUntracedIsNotReported) {
  pid_t pid = fork_child([] { raise(SIGSTOP); });
  wait_for_state(pid, "T");
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  MUST(kill(pid, SIGCONT));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Wait, ByProcessGroup) {
  pid_t own = fork_child([] { _exit(1); });
  pid_t other = fork_child([] {
    setpgid(0, 0);
    _exit(2);
  });
  setpgid(other, other);
  int status;
  EXPECT_EQ(waitpid(-other, &status, 0), other);
  EXPECT_EXITED(status, 2);
  EXPECT_EQ(waitpid(0, &status, 0), own);
  EXPECT_EXITED(status, 1);
  EXPECT_ERR(waitpid(0, &status, 0), ECHILD);
}

TEST(Wait, UsageOfAStoppedChild) {
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  MUST(sigprocmask(SIG_BLOCK, &chld, nullptr));
  pid_t pid = fork();
  if (pid == 0) {
    const clock_t end = clock() + CLOCKS_PER_SEC / 20;
    while (clock() < end) continue;
    raise(SIGSTOP);
    _exit(0);
  }
  siginfo_t info = {};
  EXPECT_EQ(sigwaitinfo(&chld, &info), SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_STOPPED);
  EXPECT_GE(info.si_utime + info.si_stime, 3);  // Hundredths.
  int status = 0;
  rusage usage = {};
  EXPECT_EQ(wait4(pid, &status, WUNTRACED, &usage), pid);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_GE(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec, 30000);
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
}

TEST(Wait, RusageOfTheChild) {
  pid_t pid = fork_child([] {
    int64_t end = now_ms() + 30;
    while (now_ms() < end) {
    }
  });
  rusage usage = {};
  int status;
  EXPECT_EQ(wait4(pid, &status, 0, &usage), pid);
  int64_t us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * int64_t{1000000} +
               usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
  EXPECT_GT(us, 1000);
  rusage children = {};
  EXPECT_OK(getrusage(RUSAGE_CHILDREN, &children));
  EXPECT_GE(children.ru_utime.tv_sec * 1000000 + children.ru_utime.tv_usec,
            usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec);
}

TEST(Wait, WaitidTakesRusageAndNullInfo) {
  pid_t pid = fork_child([] { _exit(0); });
  rusage usage = {};
  EXPECT_EQ(raw_waitid(P_PID, pid, nullptr, WEXITED, &usage), 0);
}

TEST(Wait, BadStatusPointer) {
  pid_t pid = fork_child([] { _exit(0); });
  EXPECT_ERR(syscall(SYS_wait4, pid, 8, 0, nullptr), EFAULT);
  // The child is gone all the same.
  EXPECT_ERR(waitpid(pid, nullptr, 0), ECHILD);
}

TEST(Wait, IgnoredSigchldLeavesNoZombie) {
  handle_signal(SIGCHLD, SIG_IGN);
  fork_child([] { usleep(10000); });
  EXPECT_ERR(waitpid(-1, nullptr, 0), ECHILD);
}

TEST(Wait, NocldwaitLeavesNoZombie) {
  handle_signal(SIGCHLD, [](int) {}, SA_NOCLDWAIT | SA_RESTART);
  fork_child([] { usleep(10000); });
  EXPECT_ERR(waitpid(-1, nullptr, 0), ECHILD);
}

TEST(Wait, ZombieIsVisibleUntilReaped) {
  pid_t pid = fork_child([] { _exit(0); });
  wait_for_state(pid, "Z");
  EXPECT_OK(kill(pid, 0));
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_ERR(kill(pid, 0), ESRCH);
}

TEST(Wait, CoreBitFollowsTheSignal) {
  // Whether a core is written is the machine's affair; terminating signals never have the bit.
  int status = run_child([] { raise(SIGTERM); });
  EXPECT_KILLED(status, SIGTERM);
  EXPECT_FALSE(WCOREDUMP(status));
  status = run_child([] { abort(); });
  EXPECT_KILLED(status, SIGABRT);
}

TEST(Wait, InterruptedBySignal) {
  handle_signal(SIGALRM, [](int) {});
  pid_t pid = fork_child([] { pause(); });
  ualarm(20000, 0);
  EXPECT_ERR(waitpid(pid, nullptr, 0), EINTR);
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Wait, AnotherThreadsChildren) {
  pid_t pid = 0;
  {
    Thread thread([&] { pid = fork_child([] { _exit(4); }); });
  }
  siginfo_t info;
  EXPECT_ERR(raw_waitid(P_ALL, 0, &info, WEXITED | WNOHANG | __WCLONE, nullptr), ECHILD);
  EXPECT_EXITED(wait_for(pid), 4);
}

TEST(Wait, WnothreadSeesOnlyOwnChildren) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = 0;
  Thread thread([&] {
    pid = fork_child([] { _exit(4); });
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  wait_until_blocked(thread.tid());
  EXPECT_ERR(waitpid(pid, nullptr, __WNOTHREAD), ECHILD);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  thread.join();
  EXPECT_EXITED(wait_for(pid), 4);
}

TEST(Exit, ExitGroupEndsAllThreads) {
  int status = run_child([] {
    Thread sleeper([] { pause(); });
    sleeper.tid();
    syscall(SYS_exit_group, 6);
  });
  EXPECT_EXITED(status, 6);
}

TEST(Exit, FirstThreadMayEndBeforeTheOthers) {
  int status = run_child([] {
    auto* thread = new Thread([] {
      usleep(20000);
      syscall(SYS_exit_group, 8);
    });
    thread->tid();
    syscall(SYS_exit, 3);
  });
  EXPECT_EXITED(status, 8);
}

TEST(Exit, OthersUseMemoryWhenTheFirstThreadHasGone) {
  int status = run_child([] {
    static int ends[2];
    MUST(pipe(ends));
    auto* thread = new Thread([] {
      usleep(20000);
      static char big[32768], back[32768];
      memset(big, 'x', sizeof big);
      if (write(ends[1], big, sizeof big) != ssize_t(sizeof big)) syscall(SYS_exit_group, 1);
      if (read(ends[0], back, sizeof back) != ssize_t(sizeof back)) syscall(SYS_exit_group, 2);
      if (memcmp(big, back, sizeof big) != 0) syscall(SYS_exit_group, 3);
      struct utsname name;
      if (uname(&name) != 0) syscall(SYS_exit_group, 4);
      syscall(SYS_exit_group, 9);
    });
    thread->tid();
    syscall(SYS_exit, 0);
  });
  EXPECT_EXITED(status, 9);
}

TEST(Exit, LastThreadsCodeWhenTheFirstHasGone) {
  int status = run_child([] {
    auto* thread = new Thread([] {
      usleep(20000);
      syscall(SYS_exit, 5);
    });
    thread->tid();
    syscall(SYS_exit, 3);
  });
  // Since Linux 5.17; before, it was the first thread's.
  EXPECT_EXITED(status, 5);
}

TEST(Exit, FatalSignalInAThreadEndsTheProcess) {
  int status = run_child([] {
    Thread thread([] { tgkill(getpid(), gettid(), SIGKILL); });
    pause();
  });
  EXPECT_KILLED(status, SIGKILL);
}

volatile sig_atomic_t g_sigchld_code, g_sigchld_status, g_sigchld_pid;

TEST(Exit, SigchldTellsTheParent) {
  handle_signal_info(SIGCHLD, [](int, siginfo_t* info, void*) {
    g_sigchld_code = info->si_code;
    g_sigchld_status = info->si_status;
    g_sigchld_pid = info->si_pid;
  });
  block_signal(SIGCHLD);
  pid_t pid = fork_child([] { _exit(17); });
  sigset_t none;
  sigemptyset(&none);
  EXPECT_ERR(sigsuspend(&none), EINTR);
  EXPECT_EQ(g_sigchld_code, CLD_EXITED);
  EXPECT_EQ(g_sigchld_status, 17);
  EXPECT_EQ(g_sigchld_pid, pid);
  EXPECT_EXITED(wait_for(pid), 17);
}

TEST(Exit, NocldstopSilencesStops) {
  block_signal(SIGCHLD);
  handle_signal(SIGCHLD, [](int) {}, SA_NOCLDSTOP);
  pid_t pid = fork_child([] { raise(SIGSTOP); });
  int status;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_FALSE(sigismember(&pending, SIGCHLD));
  MUST(kill(pid, SIGCONT));
  EXPECT_EXITED(wait_for(pid), 0);
  sigpending(&pending);
  EXPECT_TRUE(sigismember(&pending, SIGCHLD));
}

}  // namespace
