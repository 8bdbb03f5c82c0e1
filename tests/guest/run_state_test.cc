// The rarer ways through a system call: kills at its stops, filters that judge it a second time,
// and calls into the vsyscall page.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

constexpr long kOptions =
    PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;

void go(pid_t pid, int request = PTRACE_CONT) { raw_ptrace(request, pid, 0, 0); }

// Killed at a stop of the call: it is not made.
void kill_at_stop(int request) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t pid = traced_child([&] { (void)!write(pipe_fds[1], "x", 1); }, kOptions);
  close(pipe_fds[1]);
  for (int i = 0; i < 50; ++i) {
    go(pid, request);
    ASSERT_EQ(next_status(pid), stop_of(SIGTRAP | 0x80));
    if (long(get_regs(pid).orig_rax) == SYS_write) break;
    if (request != PTRACE_SYSEMU) continue;
    // The library's own, made again for real.
    user_regs_struct r = get_regs(pid);
    r.rip -= 2, r.rax = r.orig_rax, r.orig_rax = -1;
    set_regs(pid, r);
    for (int side = 0; side < 2; ++side) {
      go(pid, PTRACE_SYSCALL);
      ASSERT_EQ(next_status(pid), stop_of(SIGTRAP | 0x80));
    }
  }
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
  char byte;
  EXPECT_EQ(read(pipe_fds[0], &byte, 1), 0);
}

TEST(RunState, KilledAtAnEnterStop) { kill_at_stop(PTRACE_SYSCALL); }
TEST(RunState, KilledAtASysemuStop) { kill_at_stop(PTRACE_SYSEMU); }

// A thread whose end the tracer has not waited for keeps its sibling's execve waiting.
TEST(RunState, KilledWhileExecWaitsForAThread) {
  const pid_t pid = traced_child(
      [] {
        Thread other([] { syscall(SYS_exit, 0); });
        sleep_ms(20);
        execl("/proc/self/exe", "x", "--no-such-flag", nullptr);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_CLONE);
  const auto thread = pid_t(event_message(pid));
  EXPECT_STOP(thread, SIGSTOP);
  go(thread);
  go(pid);
  sleep_ms(120);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  kill(pid, SIGKILL);
  EXPECT_STATUS(thread, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

// TRACE for `first`, and for `second` what `verdict` says.
int filter(long first, long second, uint32_t verdict, unsigned flags = 0) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(first), 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(second), 4, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      // An argument of the tracer's asks for the other verdict, too.
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4711, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 1),
      BPF_STMT(BPF_RET | BPF_K, verdict),
  };
  sock_fprog program{sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(90);
  return int(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

// The thread that calls has a sibling, which goes on without it.
template <class F>
void with_thread(F call) {
  Thread caller([call] { call(); });
  caller.join();
  sleep_ms(100);  // A process that exits gives its code to threads that nobody has waited for.
}

TEST(RunState, TheSecondVerdictEndsTheThread) {
  const pid_t pid = traced_child(
      [] {
        filter(SYS_getpgid, SYS_getpriority, SECCOMP_RET_KILL_THREAD);
        with_thread([] { syscall(SYS_getpgid, 0); });
        _exit(7);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_CLONE);
  const auto thread = pid_t(event_message(pid));
  EXPECT_STOP(thread, SIGSTOP);
  go(pid);
  go(thread);
  EXPECT_STOP(thread, SIGTRAP, PTRACE_EVENT_SECCOMP);
  raw_ptrace(PTRACE_POKEUSER, thread, offsetof(user, regs.orig_rax), SYS_getpriority);
  go(thread);
  EXPECT_STATUS(thread, SIGSYS);
  EXPECT_STATUS(pid, 7 << 8);
}

// Answers one notification of the listener `fd` with `value`.
void answer(int fd, int64_t value) {
  seccomp_notif request{};
  if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) return;
  seccomp_notif_resp reply{};
  reply.id = request.id;
  reply.val = value;
  ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &reply);
}

TEST(RunState, TheSecondVerdictAsksAListener) {
  const pid_t pid = traced_child(
      [] {
        const int fd = filter(SYS_getpgid, SYS_getpriority, SECCOMP_RET_USER_NOTIF,
                              SECCOMP_FILTER_FLAG_NEW_LISTENER);
        Thread listener([fd] { answer(fd, 99); });
        if (syscall(SYS_getpgid, 0) != 99) _exit(1);
      },
      PTRACE_O_TRACESECCOMP);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_SECCOMP);
  raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), SYS_getpriority);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

long vsyscall_time(long second_argument = 0) {
  return reinterpret_cast<long (*)(long*, long)>(0xffffffffff600400)(nullptr, second_argument);
}
void need_vsyscalls() {
  if (!WIFEXITED(run_child([] { vsyscall_time(); }))) skip("no vsyscall page");
}

TEST(RunState, AVsyscallEndsAThread) {
  need_vsyscalls();
  EXPECT_EXITED(run_child([] {
                  filter(SYS_getpgid, SYS_time, SECCOMP_RET_KILL_THREAD);
                  with_thread([] { vsyscall_time(); });
                  _exit(7);
                }),
                7);
}

TEST(RunState, TheSecondVerdictOnAVsyscallEndsTheThread) {
  need_vsyscalls();
  const pid_t pid = traced_child(
      [] {
        filter(SYS_time, SYS_getpriority, SECCOMP_RET_KILL_THREAD);
        with_thread([] { vsyscall_time(); });
        _exit(7);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_CLONE);
  const auto thread = pid_t(event_message(pid));
  EXPECT_STOP(thread, SIGSTOP);
  go(pid);
  go(thread);
  EXPECT_STOP(thread, SIGTRAP, PTRACE_EVENT_SECCOMP);
  raw_ptrace(PTRACE_POKEUSER, thread, offsetof(user, regs.rsi), 4711);
  go(thread);
  EXPECT_STATUS(thread, SIGSYS);
  EXPECT_STATUS(pid, 7 << 8);
}

TEST(RunState, TheSecondVerdictOnAVsyscallAsksAListener) {
  need_vsyscalls();
  const pid_t pid = traced_child(
      [] {
        const int fd = filter(SYS_time, SYS_getpriority, SECCOMP_RET_USER_NOTIF,
                              SECCOMP_FILTER_FLAG_NEW_LISTENER);
        Thread listener([fd] { answer(fd, 99); });
        if (vsyscall_time() != 99) _exit(1);
      },
      PTRACE_O_TRACESECCOMP);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_SECCOMP);
  raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.rsi), 4711);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

}  // namespace
