// ptrace(2): PTRACE_EVENT stops, threads and programs that begin and end under a tracer.
#include <sched.h>
#include <sys/prctl.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

constexpr int kStopEvent = 128;  // PTRACE_EVENT_STOP

void go(pid_t pid, int signal = 0) { raw_ptrace(PTRACE_CONT, pid, 0, signal); }

TEST(PtraceEvent, Fork) {
  const pid_t pid = traced_child(
      [] {
        const pid_t child = fork();
        if (child == 0) _exit(3);
        int status;
        waitpid(child, &status, 0);
        _exit(WEXITSTATUS(status));
      },
      PTRACE_O_TRACEFORK);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_FORK);
  const auto child = pid_t(event_message(pid));
  EXPECT_STOP(child, SIGSTOP);
  EXPECT_EQ(long(get_regs(child).rax), 0);
  go(child);
  go(pid);
  EXPECT_STATUS(child, 3 << 8);
  EXPECT_STOP(pid, SIGCHLD);
  go(pid, SIGCHLD);
  EXPECT_STATUS(pid, 3 << 8);
}

TEST(PtraceEvent, VforkAndItsEnd) {
  const pid_t pid = traced_child(
      [] {
        if (vfork() == 0) _exit(0);
        _exit(4);
      },
      PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_VFORK);
  const auto child = pid_t(event_message(pid));
  EXPECT_STOP(child, SIGSTOP);
  go(pid);
  sleep_ms(30);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  go(child);
  EXPECT_STATUS(child, 0);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_VFORK_DONE);
  EXPECT_EQ(event_message(pid), unsigned(child));
  go(pid);
  int status = next_status(pid);
  if (status == stop_of(SIGCHLD)) go(pid), status = next_status(pid);
  EXPECT_EQ(status, 4 << 8);
}

TEST(PtraceEvent, VforkDoneAlone) {
  const pid_t pid = traced_child(
      [] {
        if (vfork() == 0) _exit(0);
        _exit(4);
      },
      PTRACE_O_TRACEVFORKDONE);
  go(pid);
  int status = next_status(pid);
  if (status == stop_of(SIGCHLD)) go(pid), status = next_status(pid);
  EXPECT_EQ(status, stop_of(SIGTRAP, PTRACE_EVENT_VFORK_DONE));
  EXPECT_GT(event_message(pid), unsigned(pid));
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(PtraceEvent, Threads) {
  const pid_t pid = traced_child(
      [] {
        Thread t([] { syscall(SYS_exit, 0); });
        t.join();
        _exit(6);
      },
      PTRACE_O_TRACECLONE);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_CLONE);
  const auto thread = pid_t(event_message(pid));
  EXPECT_STOP(thread, SIGSTOP);
  go(thread);
  EXPECT_STATUS(thread, 0);  // A thread's end is reported, too.
  go(pid);
  EXPECT_STATUS(pid, 6 << 8);
}

TEST(PtraceEvent, SeizedChildrenBeginInAnEventStop) {
  int start[2];
  ASSERT_EQ(pipe(start), 0);
  const pid_t pid = plain_child([&] {
    char byte;
    (void)!read(start[0], &byte, 1);
    const pid_t child = fork();
    if (child == 0) _exit(3);
    waitpid(child, nullptr, 0);
  });
  ASSERT_EQ(raw_ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEFORK), 0);
  (void)!write(start[1], "x", 1);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_FORK);
  const auto child = pid_t(event_message(pid));
  EXPECT_STOP(child, SIGTRAP, kStopEvent);
  go(child);
  EXPECT_STATUS(child, 3 << 8);
  go(pid);
  EXPECT_STOP(pid, SIGCHLD);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceEvent, ExecSendsSigtrapToAttached) {
  const pid_t pid = traced_child([] { execl("/proc/self/exe", "x", "--no-such-flag", nullptr); });
  go(pid);
  EXPECT_STOP(pid, SIGTRAP);
  siginfo_t info{};
  raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  EXPECT_EQ(info.si_code, SI_USER);
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(long(get_regs(pid).orig_rax), SYS_execve);
  EXPECT_EQ(long(get_regs(pid).rax), 0);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(PtraceEvent, Exec) {
  const pid_t pid = traced_child([] { execl("/proc/self/exe", "x", "--no-such-flag", nullptr); },
                                 PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_EXEC);
  EXPECT_EQ(event_message(pid), unsigned(pid));
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(long(get_regs(pid).orig_rax), SYS_execve);
  EXPECT_EQ(long(get_regs(pid).rax), 0);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(PtraceEvent, ExecByAThreadTakesTheLeadersId) {
  const pid_t pid = traced_child(
      [] {
        Thread t([] { execl("/proc/self/exe", "x", "--no-such-flag", nullptr); });
        pause();
      },
      PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_CLONE);
  const auto thread = pid_t(event_message(pid));
  EXPECT_STOP(thread, SIGSTOP);
  go(pid);
  go(thread);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_EXEC);
  EXPECT_EQ(event_message(pid), unsigned(thread));
  EXPECT_ERR(waitpid(thread, nullptr, __WALL | WNOHANG), ECHILD);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(PtraceEvent, ExitShowsTheStatus) {
  const pid_t pid = traced_child([] { _exit(42); }, PTRACE_O_TRACEEXIT);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_EXIT);
  EXPECT_EQ(event_message(pid), 42u << 8);
  get_regs(pid);
  go(pid);
  EXPECT_STATUS(pid, 42 << 8);
}

TEST(PtraceEvent, ExitOfAKilledTask) {
  const pid_t pid = traced_child([] { pause(); }, PTRACE_O_TRACEEXIT);
  go(pid);
  wait_until_blocked(pid);
  kill(pid, SIGKILL);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_EXIT);
  EXPECT_EQ(event_message(pid), unsigned(SIGKILL));
  kill(pid, SIGKILL);  // Who is dying gets no other signal.
  sleep_ms(20);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  go(pid);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(PtraceEvent, ALeaderThatEndsFirst) {
  const pid_t pid = traced_child(
      [] {
        Thread t([] {
          sleep_ms(100);
          syscall(SYS_exit_group, 8);
        });
        syscall(SYS_exit, 1);
      },
      PTRACE_O_TRACECLONE);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_CLONE);
  const auto thread = pid_t(event_message(pid));
  EXPECT_STOP(thread, SIGSTOP);
  go(pid);
  go(thread);
  sleep_ms(30);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);  // Not before the last thread.
  EXPECT_STATUS(thread, 8 << 8);
  EXPECT_STATUS(pid, 8 << 8);
}

TEST(PtraceEvent, ClonePtraceAndUntraced) {
  const pid_t pid = traced_child(
      [] {
        const long a = syscall(SYS_clone, CLONE_PTRACE | SIGCHLD, 0, 0, 0, 0);
        if (a == 0) _exit(1);
        const long b = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
        if (b == 0) _exit(2);
        int status;
        waitpid(pid_t(b), &status, 0);
        waitpid(pid_t(a), &status, 0);
      },
      PTRACE_O_TRACEFORK);
  go(pid);
  // Both an event and the flag ask for the first; nothing for the second.
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_FORK);
  const auto child = pid_t(event_message(pid));
  EXPECT_STOP(child, SIGSTOP);
  go(pid);
  EXPECT_STOP(pid, SIGCHLD);
  go(pid);
  go(child);
  EXPECT_STATUS(child, 1 << 8);
  EXPECT_STOP(pid, SIGCHLD);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceEvent, WaitAnyFindsThreadsAndChildren) {
  const pid_t pid = traced_child(
      [] {
        Thread a([] { sleep_ms(20); }), b([] { sleep_ms(20); });
        a.join();
        b.join();
      },
      PTRACE_O_TRACECLONE);
  go(pid);
  int ends = 0, stops = 0, clones = 0;
  for (;;) {
    int status;
    const pid_t who = waitpid(-1, &status, __WALL);
    if (who == -1) break;
    if (WIFEXITED(status)) {
      ends++;
      continue;
    }
    if (status == stop_of(SIGTRAP, PTRACE_EVENT_CLONE)) clones++;
    if (status == stop_of(SIGSTOP)) stops++;
    go(who);
  }
  EXPECT_EQ(errno, ECHILD);
  EXPECT_EQ(clones, 2);
  EXPECT_EQ(stops, 2);
  EXPECT_EQ(ends, 3);
}

TEST(PtraceEvent, NoThreadSeesOnlyItsOwnTracees) {
  const pid_t pid = plain_child([] { pause(); });
  Thread tracer([&] {
    raw_ptrace(PTRACE_ATTACH, pid, 0, 0);
    EXPECT_EQ(waitpid(pid, nullptr, __WALL | __WNOTHREAD), pid);
    sleep_ms(50);
  });
  sleep_ms(25);
  user_regs_struct r;
  // A thread of the tracer's process, but not the tracer.
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGS, pid, 0, &r), ESRCH);
  tracer.join();
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

}  // namespace
