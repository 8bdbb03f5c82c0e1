// ptrace(2): attaching, seizing, group-stops under a tracer, detaching, and tracers that end.
#include <sys/prctl.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

constexpr int kStopEvent = 128;  // PTRACE_EVENT_STOP

bool is_traced_by(pid_t pid, pid_t tracer) {
  return proc_field(("/proc/" + std::to_string(pid) + "/status").c_str(), "TracerPid") ==
         std::to_string(tracer);
}
std::string state_line(pid_t pid) {
  return proc_field(("/proc/" + std::to_string(pid) + "/status").c_str(), "State");
}
void end(pid_t pid) {
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}
siginfo_t stop_info(pid_t pid) {
  siginfo_t info{};
  if (raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info) != 0) info.si_signo = -errno;
  return info;
}

TEST(PtraceAttach, StopsWithSigstop) {
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  wait_until_blocked(pid);
  ASSERT_EQ(raw_ptrace(PTRACE_ATTACH, pid, 0, 0), 0);
  EXPECT_STOP(pid, SIGSTOP);
  EXPECT_EQ(stop_info(pid).si_signo, SIGSTOP);
  EXPECT_TRUE(is_traced_by(pid, getpid()));
  EXPECT_EQ(state_line(pid), "t (tracing stop)");
  EXPECT_ERR(raw_ptrace(PTRACE_ATTACH, pid, 0, 0), EPERM);
  EXPECT_EQ(long(get_regs(pid).orig_rax), SYS_pause);
  EXPECT_EQ(long(get_regs(pid).rax), -514);  // ERESTARTNOHAND
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  wait_until_blocked(pid);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  kill(pid, SIGUSR1);
  EXPECT_STOP(pid, SIGUSR1);
  EXPECT_EQ(stop_info(pid).si_pid, getpid());
  ASSERT_EQ(raw_ptrace(PTRACE_DETACH, pid, 0, 0), 0);
  EXPECT_TRUE(is_traced_by(pid, 0));
  wait_until_blocked(pid);
  end(pid);
}

TEST(PtraceAttach, WhoMayNot) {
  EXPECT_ERR(raw_ptrace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
  Thread other([] { sleep_ms(50); });
  EXPECT_ERR(raw_ptrace(PTRACE_ATTACH, other.tid(), 0, 0), EPERM);
  EXPECT_ERR(raw_ptrace(PTRACE_ATTACH, 1 << 30, 0, 0), ESRCH);
  const pid_t pid = plain_child([] { pause(); });
  EXPECT_ERR(raw_ptrace(PTRACE_SEIZE, pid, 8, 0), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_SEIZE, pid, 0, 1l << 30), EIO);
  end(pid);
  const pid_t dead = fork_child([] {});
  wait_for_state(dead, "Z");
  EXPECT_ERR(raw_ptrace(PTRACE_ATTACH, dead, 0, 0), EPERM);
  wait_for(dead);
}

TEST(PtraceAttach, UnprivilegedOnlyTheirOwn) {
  if (!is_root()) skip("needs root");
  const pid_t roots = plain_child([] { pause(); });
  const int status = run_child([&] {
    become_unprivileged();
    EXPECT_ERR(raw_ptrace(PTRACE_ATTACH, roots, 0, 0), EPERM);
    const pid_t hidden = plain_child([] {
      prctl(PR_SET_DUMPABLE, 0);
      pause();
    });
    sleep_ms(20);
    EXPECT_ERR(raw_ptrace(PTRACE_ATTACH, hidden, 0, 0), EPERM);
    kill(hidden, SIGKILL);
    wait_for(hidden);
  });
  EXPECT_EXITED(status, 0);
  end(roots);
}

TEST(PtraceAttach, SeizeDoesNotStop) {
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  ASSERT_EQ(raw_ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  ASSERT_EQ(raw_ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
  EXPECT_STOP(pid, SIGTRAP, kStopEvent);
  EXPECT_EQ(stop_info(pid).si_code, SIGTRAP | kStopEvent << 8);
  ASSERT_EQ(raw_ptrace(PTRACE_CONT, pid, 0, SIGUSR1), 0);  // Nobody's: not a signal stop.
  wait_until_blocked(pid);
  kill(pid, SIGUSR2);
  EXPECT_STOP(pid, SIGUSR2);
  raw_ptrace(PTRACE_DETACH, pid, 0, SIGTERM);
  EXPECT_STATUS(pid, SIGTERM);
}

TEST(PtraceAttach, InterruptEndsASleepThatGoesOn) {
  const pid_t pid = plain_child([] {
    const int64_t begin = now_ms();
    timespec t = ms_to_timespec(400);
    if (nanosleep(&t, nullptr) != 0) _exit(2);
    const int64_t took = now_ms() - begin;
    if (took < 395 || took > 3000) _exit(3);
  });
  raw_ptrace(PTRACE_SEIZE, pid, 0, 0);
  for (int i = 0; i < 3; ++i) {
    sleep_ms(50);
    raw_ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    EXPECT_STOP(pid, SIGTRAP, kStopEvent);
    EXPECT_EQ(long(get_regs(pid).rax), -516);  // ERESTART_RESTARTBLOCK
    raw_ptrace(PTRACE_CONT, pid, 0, 0);
  }
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceAttach, GroupStopOfAnAttachedTask) {
  const pid_t pid = traced_child([] {
    for (;;) pause();
  });
  raw_ptrace(PTRACE_CONT, pid, 0, SIGSTOP);  // Deliver it: a group-stop, seen by the tracer.
  EXPECT_STOP(pid, SIGSTOP);
  EXPECT_EQ(stop_info(pid).si_signo, -EINVAL);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);  // It runs, though its group is stopped.
  wait_until_blocked(pid);
  kill(pid, SIGCONT);
  EXPECT_STOP(pid, SIGCONT);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  kill(pid, SIGTSTP);
  EXPECT_STOP(pid, SIGTSTP);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  wait_until_blocked(pid);
  end(pid);
}

TEST(PtraceAttach, GroupStopOfASeizedTask) {
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  raw_ptrace(PTRACE_SEIZE, pid, 0, 0);
  kill(pid, SIGSTOP);
  EXPECT_STOP(pid, SIGSTOP);
  EXPECT_EQ(stop_info(pid).si_code, SI_USER);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGSTOP);
  EXPECT_STOP(pid, SIGSTOP, kStopEvent);
  ASSERT_EQ(raw_ptrace(PTRACE_LISTEN, pid, 0, 0), 0);
  EXPECT_ERR(raw_ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
  kill(pid, SIGCONT);  // Ends the stop: it traps to tell, then shows the signal itself.
  EXPECT_STOP(pid, SIGTRAP, kStopEvent);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGCONT);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGCONT);
  wait_until_blocked(pid);
  // An interrupt while it listens traps again.
  kill(pid, SIGSTOP);
  EXPECT_STOP(pid, SIGSTOP);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGSTOP);
  EXPECT_STOP(pid, SIGSTOP, kStopEvent);
  raw_ptrace(PTRACE_LISTEN, pid, 0, 0);
  ASSERT_EQ(raw_ptrace(PTRACE_INTERRUPT, pid, 0, 0), 0);
  EXPECT_STOP(pid, SIGSTOP, kStopEvent);
  end(pid);
}

TEST(PtraceAttach, OfAStoppedProcess) {
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  kill(pid, SIGSTOP);
  int status;
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  ASSERT_EQ(raw_ptrace(PTRACE_ATTACH, pid, 0, 0), 0);
  // The stop it was in is a ptrace-stop by the time that the call returns.
  ASSERT_EQ(waitpid(pid, &status, WNOHANG), pid);
  EXPECT_EQ(status, stop_of(SIGSTOP));
  EXPECT_EQ(state_line(pid), "t (tracing stop)");
  get_regs(pid);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSTOP);  // The one that attaching has sent.
  raw_ptrace(PTRACE_DETACH, pid, 0, 0);
  wait_for_state(pid, "T");  // Its group is still stopped.
  kill(pid, SIGCONT);
  wait_until_blocked(pid);
  end(pid);
}

TEST(PtraceAttach, SeizeOfAStoppedProcess) {
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  kill(pid, SIGTSTP);
  kill(pid, SIGSTOP);
  wait_for_state(pid, "T");
  ASSERT_EQ(raw_ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
  int status;
  ASSERT_EQ(waitpid(pid, &status, WNOHANG), pid);
  EXPECT_EQ(status >> 16, kStopEvent);
  raw_ptrace(PTRACE_DETACH, pid, 0, 0);
  wait_for_state(pid, "T");
  end(pid);
}

TEST(PtraceAttach, SigcontCancelsAStopSignalThatIsShown) {
  const pid_t pid = traced_child([] {
    for (;;) pause();
  });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  wait_until_blocked(pid);
  kill(pid, SIGTSTP);
  EXPECT_STOP(pid, SIGTSTP);
  kill(pid, SIGCONT);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGTSTP);  // No stop comes of it.
  EXPECT_STOP(pid, SIGCONT);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  wait_until_blocked(pid);
  end(pid);
}

TEST(PtraceAttach, SignalsAreReplacedAndRewritten) {
  const pid_t pid = traced_child([] {
    block_signal(SIGUSR1);
    block_signal(SIGUSR2);
    block_signal(SIGTERM);
    unblock_signal(SIGTERM);
    raise(SIGTERM);  // Becomes SIGUSR1, blocked: pending then.
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    siginfo_t info{};
    if (sigwaitinfo(&set, &info) != SIGUSR1) _exit(1);
    if (info.si_code != SI_USER || info.si_pid != getppid()) _exit(2);
    raise(SIGTERM);  // Rewritten: SIGUSR2 with a value.
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    if (sigwaitinfo(&set, &info) != SIGUSR2) _exit(3);
    if (info.si_code != SI_QUEUE || info.si_value.sival_int != 4711) _exit(4);
  });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGTERM);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGUSR1);
  EXPECT_STOP(pid, SIGTERM);
  siginfo_t info{};
  info.si_signo = SIGUSR2;
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 4711;
  ASSERT_EQ(raw_ptrace(PTRACE_SETSIGINFO, pid, 0, &info), 0);
  EXPECT_EQ(stop_info(pid).si_signo, SIGUSR2);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGUSR2);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceAttach, IgnoredSignalsAreShown) {
  const pid_t pid = traced_child([] {
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    raise(SIGCHLD);
  });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGUSR1);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGUSR1);
  EXPECT_STOP(pid, SIGCHLD);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGCHLD);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceAttach, SignalsAtASyscallStopAreSent) {
  const pid_t pid = traced_child([] { syscall(SYS_getpgid, 0); }, PTRACE_O_TRACESYSGOOD);
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGTERM);
  EXPECT_STOP(pid, SIGTERM);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGTERM);
  EXPECT_STATUS(pid, SIGTERM);
}

TEST(PtraceAttach, MaskAndQueue) {
  const pid_t pid = traced_child([] {
    block_signal(SIGUSR1);
    block_signal(SIGRTMIN);
    raise(SIGSTOP);
    _exit(7);
  });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSTOP);
  uint64_t mask = 0;
  EXPECT_ERR(raw_ptrace(PTRACE_GETSIGMASK, pid, 4, &mask), EINVAL);
  ASSERT_EQ(raw_ptrace(PTRACE_GETSIGMASK, pid, 8, &mask), 0);
  EXPECT_EQ(mask, 1ull << (SIGUSR1 - 1) | 1ull << (SIGRTMIN - 1));
  sigval v{};
  for (int i = 0; i < 3; ++i) {
    v.sival_int = i;
    sigqueue(pid, SIGRTMIN, v);
  }
  siginfo_t infos[4] = {};
  struct {
    uint64_t offset;
    uint32_t flags;
    int32_t count;
  } args{1, 1, 4};
  EXPECT_EQ(raw_ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), 2);
  EXPECT_EQ(infos[0].si_value.sival_int, 1);
  EXPECT_EQ(infos[1].si_value.sival_int, 2);
  args.flags = 0;
  EXPECT_EQ(raw_ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), 0);
  args.flags = 2;
  EXPECT_ERR(raw_ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), EINVAL);
  args = {0, 1, -1};
  EXPECT_ERR(raw_ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), EINVAL);
  // SIGKILL and SIGSTOP stay unblockable; the real-time signal is let through and kills.
  mask = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1);
  ASSERT_EQ(raw_ptrace(PTRACE_SETSIGMASK, pid, 8, &mask), 0);
  ASSERT_EQ(raw_ptrace(PTRACE_GETSIGMASK, pid, 8, &mask), 0);
  EXPECT_EQ(mask, 0u);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGRTMIN);
  raw_ptrace(PTRACE_CONT, pid, 0, SIGRTMIN);
  EXPECT_STATUS(pid, SIGRTMIN);
}

TEST(PtraceAttach, DetachedByTheTracersEnd) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t pid = plain_child([&] {
    char byte;
    (void)!read(pipe_fds[0], &byte, 1);
    _exit(5);
  });
  EXPECT_EXITED(run_child([&] {
                  if (raw_ptrace(PTRACE_ATTACH, pid, 0, 0) != 0) _exit(1);
                  if (next_status(pid) != stop_of(SIGSTOP)) _exit(2);
                }),
                0);
  EXPECT_TRUE(is_traced_by(pid, 0));
  (void)!write(pipe_fds[1], "x", 1);
  EXPECT_STATUS(pid, 5 << 8);
}

TEST(PtraceAttach, ExitKillEndsTracees) {
  const pid_t pid = plain_child([] { pause(); });
  EXPECT_EXITED(run_child([&] {
                  if (raw_ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL) != 0) _exit(1);
                }),
                0);
  EXPECT_STATUS(pid, SIGKILL);
}

// Who traces another's child gets to see its end first.
TEST(PtraceAttach, TheParentWaitsAfterTheTracer) {
  int go[2], seen[2];
  ASSERT_EQ(pipe(go) | pipe(seen), 0);
  const pid_t pid = plain_child([&] {
    char byte;
    (void)!read(go[0], &byte, 1);
    _exit(9);
  });
  const pid_t tracer = fork_child([&] {
    if (raw_ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) _exit(1);
    (void)!write(seen[1], "x", 1);
    siginfo_t info{};
    if (waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0) _exit(2);
    sleep_ms(50);
    if (next_status(pid) != 9 << 8) _exit(3);
  });
  char byte;
  ASSERT_EQ(read(seen[0], &byte, 1), 1);
  (void)!write(go[1], "x", 1);
  wait_for_state(pid, "Z");
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  EXPECT_EXITED(wait_for(tracer), 0);
  EXPECT_STATUS(pid, 9 << 8);
}

volatile int g_chld_code, g_chld_status;
void on_chld(int, siginfo_t* info, void*) {
  g_chld_code = info->si_code;
  g_chld_status = info->si_status;
}

TEST(PtraceAttach, SigchldTellsOfStops) {
  handle_signal_info(SIGCHLD, on_chld, SA_RESTART);
  const pid_t pid = traced_child([] {
    raise(SIGUSR1);
    for (;;) pause();
  });
  EXPECT_EQ(g_chld_code, CLD_TRAPPED);
  EXPECT_EQ(g_chld_status, SIGSTOP);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  siginfo_t info{};
  ASSERT_EQ(waitid(P_PID, id_t(pid), &info, WSTOPPED), 0);
  EXPECT_EQ(info.si_code, CLD_TRAPPED);
  EXPECT_EQ(info.si_status, SIGUSR1);
  EXPECT_EQ(g_chld_status, SIGUSR1);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
  EXPECT_EQ(g_chld_code, CLD_KILLED);
}

TEST(PtraceAttach, KilledInAStop) {
  const pid_t pid = traced_child([] {});
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
  user_regs_struct r;
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGS, pid, 0, &r), ESRCH);
}

TEST(PtraceAttach, TracemeTwice) {
  const pid_t pid = fork_child([] {
    if (raw_ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(1);
    EXPECT_ERR(raw_ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM);
  });
  EXPECT_STATUS(pid, 0);
}

}  // namespace
