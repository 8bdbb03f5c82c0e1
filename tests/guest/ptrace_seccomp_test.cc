// PTRACE_EVENT_SECCOMP: filters that ask a tracer, in the order of Linux 4.8 and later.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

constexpr int kSeccompStop = PTRACE_EVENT_SECCOMP;

// Installs a filter that gives `verdict` for getpgid, `other` for getpriority and allows the rest.
void filter_getpgid(uint32_t verdict, uint32_t other = SECCOMP_RET_ALLOW) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 2, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, verdict),
      BPF_STMT(BPF_RET | BPF_K, other),
  };
  sock_fprog program{sizeof code / sizeof *code, code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(90);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(91);
}

void go(pid_t pid, int request = PTRACE_CONT) { raw_ptrace(request, pid, 0, 0); }
constexpr long kOptions = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD;

TEST(PtraceSeccomp, EventCarriesTheData) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 0x1234);
        if (syscall(SYS_getpgid, 0) != getpgrp()) _exit(1);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  EXPECT_EQ(event_message(pid), 0x1234u);
  const user_regs_struct r = get_regs(pid);
  EXPECT_EQ(long(r.orig_rax), SYS_getpgid);
  EXPECT_EQ(long(r.rax), -ENOSYS);
  __ptrace_syscall_info info{};
  EXPECT_EQ(raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info), 84);
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_SECCOMP);
  EXPECT_EQ(info.seccomp.nr, unsigned(SYS_getpgid));
  EXPECT_EQ(info.seccomp.ret_data, 0x1234u);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceSeccomp, ComesAfterTheEnterStop) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 1);
        syscall(SYS_getpgid, 0);
      },
      kOptions);
  for (int i = 0; i < 100; ++i) {
    go(pid, PTRACE_SYSCALL);
    ASSERT_EQ(next_status(pid), stop_of(SIGTRAP | 0x80));
    if (event_message(pid) == 1 && long(get_regs(pid).orig_rax) == SYS_getpgid) break;
  }
  go(pid, PTRACE_SYSCALL);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  go(pid, PTRACE_SYSCALL);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(event_message(pid), 2u);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceSeccomp, ResumedWithSyscallTheExitStopFollows) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 1);
        syscall(SYS_getpgid, 0);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  go(pid, PTRACE_SYSCALL);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(event_message(pid), 2u);
  __ptrace_syscall_info info{};
  raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_EXIT);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceSeccomp, SkippedWithAResult) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 1);
        if (syscall(SYS_getpgid, 0) != 4711) _exit(1);
        errno = 0;
        if (syscall(SYS_getpgid, 0) != -1 || errno != ENOSYS) _exit(2);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  user_regs_struct r = get_regs(pid);
  r.orig_rax = -1;
  r.rax = 4711;
  set_regs(pid, r);
  go(pid, PTRACE_SYSCALL);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(event_message(pid), 2u);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), -1);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceSeccomp, AChangedCallIsJudgedAgain) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 1, SECCOMP_RET_ERRNO | EXDEV);
        if (syscall(SYS_getpgid, 0) != getppid()) _exit(1);
        errno = 0;
        if (syscall(SYS_getpgid, 0) != -1 || errno != EXDEV) _exit(2);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), SYS_getppid);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), SYS_getpriority);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceSeccomp, AStricterSecondVerdictKills) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 1, SECCOMP_RET_KILL_PROCESS);
        syscall(SYS_getpgid, 0);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGTRAP, kSeccompStop);
  raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), SYS_getpriority);
  go(pid);
  const int status = next_status(pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSYS);
}

TEST(PtraceSeccomp, SysemuKeepsFiltersFromRunning) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 1);
        raise(SIGUSR1);
        syscall(SYS_getpgid, 0);
        for (;;) {
        }
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGUSR1);
  for (int i = 0; i < 20; ++i) {
    go(pid, PTRACE_SYSEMU);
    ASSERT_EQ(next_status(pid), stop_of(SIGTRAP | 0x80));
    if (long(get_regs(pid).orig_rax) == SYS_getpgid) break;
    // The library's own, made again for real.
    user_regs_struct r = get_regs(pid);
    r.rip -= 2, r.rax = r.orig_rax, r.orig_rax = -1;
    set_regs(pid, r);
    go(pid, PTRACE_SYSCALL);
    EXPECT_STOP(pid, SIGTRAP | 0x80);
    go(pid, PTRACE_SYSCALL);
    EXPECT_STOP(pid, SIGTRAP | 0x80);
  }
  EXPECT_EQ(long(get_regs(pid).orig_rax), SYS_getpgid);
  go(pid, PTRACE_SYSCALL);  // No event: the exit-stop of the skipped call.
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(PtraceSeccomp, WithoutTheOptionCallsFail) {
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_TRACE | 1);
        errno = 0;
        if (syscall(SYS_getpgid, 0) != -1 || errno != ENOSYS) _exit(2);
      },
      PTRACE_O_TRACESYSGOOD);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceSeccomp, SuspendedFiltersLetPass) {
  if (!is_root()) skip("needs root");
  const pid_t pid = traced_child(
      [] {
        filter_getpgid(SECCOMP_RET_ERRNO | EXDEV);
        raise(SIGUSR1);
        if (syscall(SYS_getpgid, 0) != getpgrp()) _exit(1);
        raise(SIGUSR2);
        if (syscall(SYS_getpgid, 0) != -1 || errno != EXDEV) _exit(2);
      },
      kOptions);
  go(pid);
  EXPECT_STOP(pid, SIGUSR1);
  ASSERT_EQ(raw_ptrace(PTRACE_SETOPTIONS, pid, 0, 1l << 21), 0);
  go(pid);
  EXPECT_STOP(pid, SIGUSR2);
  ASSERT_EQ(raw_ptrace(PTRACE_SETOPTIONS, pid, 0, 0), 0);
  go(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceSeccomp, FiltersCanBeRead) {
  if (!is_root()) skip("needs root");
  const pid_t pid = traced_child([] {
    filter_getpgid(SECCOMP_RET_TRACE | 77);
    filter_getpgid(SECCOMP_RET_ALLOW);
    raise(SIGUSR1);
  });
  sock_filter code[16];
  EXPECT_ERR(raw_ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, code), EINVAL);
  go(pid);
  EXPECT_STOP(pid, SIGUSR1);
  EXPECT_EQ(raw_ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, 0), 6);
  ASSERT_EQ(raw_ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, code), 6);
  EXPECT_EQ(code[4].k, unsigned(SECCOMP_RET_TRACE | 77));
  ASSERT_EQ(raw_ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 1, code), 6);
  EXPECT_EQ(code[4].k, unsigned(SECCOMP_RET_ALLOW));
  EXPECT_ERR(raw_ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 2, code), ENOENT);
  struct {
    uint64_t number, flags;
  } meta{1, 99};
  EXPECT_EQ(raw_ptrace(PTRACE_SECCOMP_GET_METADATA, pid, sizeof meta, &meta), 16);
  EXPECT_EQ(meta.flags, 0u);
  EXPECT_ERR(raw_ptrace(PTRACE_SECCOMP_GET_METADATA, pid, 4, &meta), EINVAL);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

}  // namespace
