// seccomp(2) and ptrace(2) together: PTRACE_EVENT_SECCOMP, and what a tracer sees of verdicts.
#include <linux/capability.h>

#include "tests/guest/seccomp_filters.h"
#include "tests/guest/tracing.h"

namespace {

using namespace guest;

constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL;
constexpr int kCall = SIGTRAP | 0x80;
const Filter kTraceParent = on_call(SYS_getppid, SECCOMP_RET_TRACE | 0x4321);

// A child that is bound by `filter` and stopped by SIGSTOP before `body`.
template <class F>
pid_t filtered_child(const Filter& filter, F body, long options = kOptions) {
  const pid_t pid = traced_child(
      [&] {
        confine(filter);
        raise(SIGSTOP);
        body();
      },
      options);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSTOP);
  return pid;
}

void go_on(pid_t pid, long request = PTRACE_CONT, int signal = 0) {
  EXPECT_EQ(raw_ptrace(request, pid, 0, signal), 0);
}

#define EXPECT_EVENT(pid) EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_SECCOMP)
#define EXPECT_CALL(pid, number, side)                                                  \
  do {                                                                                  \
    EXPECT_STOP(pid, kCall);                                                            \
    const __ptrace_syscall_info call_ = call_info(pid);                                 \
    EXPECT_EQ(call_.op, side);                                                          \
    if (call_.op == PTRACE_SYSCALL_INFO_ENTRY) EXPECT_EQ(call_.entry.nr, (long)number); \
  } while (0)

__ptrace_syscall_info call_info(pid_t pid) {
  __ptrace_syscall_info info = {};
  raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
  return info;
}

void make_it(pid_t pid, long number) {
  user_regs_struct r = get_regs(pid);
  r.orig_rax = static_cast<unsigned long>(number);
  set_regs(pid, r);
}
void skip_it(pid_t pid, long result) {
  user_regs_struct r = get_regs(pid);
  r.orig_rax = -1ul;
  r.rax = static_cast<unsigned long>(result);
  set_regs(pid, r);
}

TEST(SeccompTrace, TheEventTellsTheCall) {
  const pid_t pid = filtered_child(
      kTraceParent, [] { EXPECT_EQ(syscall(SYS_getppid, 1, 2, 3, 4, 5, 6), getppid()); });
  for (int i = 0; i < 2; ++i) {
    go_on(pid);
    EXPECT_EVENT(pid);
    EXPECT_EQ(event_message(pid), 0x4321u);
    const __ptrace_syscall_info info = call_info(pid);
    EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_SECCOMP);
    EXPECT_EQ(info.seccomp.nr, static_cast<unsigned>(SYS_getppid));
    EXPECT_EQ(info.seccomp.ret_data, 0x4321u);
    if (i == 0) EXPECT_EQ(info.seccomp.args[5], 6u);
    EXPECT_EQ(static_cast<long>(get_regs(pid).rax), -ENOSYS);
  }
  go_on(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(SeccompTrace, WithoutTheOptionItIsEnosys) {
  const pid_t pid = filtered_child(
      kTraceParent, [] { EXPECT_ERR(syscall(SYS_getppid), ENOSYS); }, PTRACE_O_EXITKILL);
  go_on(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(SeccompTrace, BetweenEnterAndExit) {
  const pid_t pid =
      filtered_child(kTraceParent, [] { syscall(SYS_getppid), syscall(SYS_getppid); });
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, SYS_getppid, PTRACE_SYSCALL_INFO_ENTRY);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_EVENT(pid);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, SYS_getppid, PTRACE_SYSCALL_INFO_EXIT);
  EXPECT_EQ(static_cast<int>(get_regs(pid).rax), getpid());
  // Resumed past the enter-stop, the exit-stop comes nonetheless.
  go_on(pid);
  EXPECT_EVENT(pid);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, SYS_getppid, PTRACE_SYSCALL_INFO_EXIT);
  go_on(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(SeccompTrace, SkippingACall) {
  const pid_t pid = filtered_child(kTraceParent, [] {
    EXPECT_EQ(syscall(SYS_getppid), 7777);
    EXPECT_ERR(syscall(SYS_getppid), EXDEV);
  });
  go_on(pid);
  EXPECT_EVENT(pid);
  skip_it(pid, 7777);
  go_on(pid);
  EXPECT_EVENT(pid);
  skip_it(pid, -EXDEV);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, 0, PTRACE_SYSCALL_INFO_EXIT);
  go_on(pid);
  EXPECT_STATUS(pid, 0);
}

// `value` for another call, TRACE for getppid.
Filter trace_and(long nr, uint32_t value) {
  return {load(0),
          if_equal(SYS_getppid, 0, 1),
          verdict(SECCOMP_RET_TRACE),
          if_equal(static_cast<uint32_t>(nr), 0, 1),
          verdict(value),
          verdict(SECCOMP_RET_ALLOW)};
}

void turned_into_getsid(uint32_t value, int status) {
  const pid_t pid = filtered_child(trace_and(SYS_getsid, value), [] {
    handle_signal(SIGSYS, [](int) { _exit(9); });
    const long result = syscall(SYS_getppid, 0);
    _exit(result == -1 ? errno : 8);
  });
  go_on(pid);
  EXPECT_EVENT(pid);
  make_it(pid, SYS_getsid);
  go_on(pid);
  if (status == 9 << 8) {
    EXPECT_STOP(pid, SIGSYS);
    go_on(pid, PTRACE_CONT, SIGSYS);
  }
  EXPECT_EQ(next_status(pid) & ~0x80, status);
}

TEST(SeccompTrace, WhatTheTracerMadeOfTheCallIsJudgedAgain) {
  turned_into_getsid(SECCOMP_RET_ALLOW, 8 << 8);
  turned_into_getsid(SECCOMP_RET_TRACE, 8 << 8);  // Not twice.
  turned_into_getsid(SECCOMP_RET_ERRNO | 33, 33 << 8);
  turned_into_getsid(SECCOMP_RET_USER_NOTIF, ENOSYS << 8);
  turned_into_getsid(SECCOMP_RET_TRAP, 9 << 8);
  turned_into_getsid(SECCOMP_RET_KILL_PROCESS, SIGSYS);
  turned_into_getsid(SECCOMP_RET_KILL_THREAD, SIGSYS);
}

TEST(SeccompTrace, ChangedArgumentsAreUsed) {
  const pid_t pid =
      filtered_child(on_call(SYS_dup2, SECCOMP_RET_TRACE), [] { EXPECT_EQ(dup2(1, 90), 91); });
  go_on(pid);
  EXPECT_EVENT(pid);
  user_regs_struct r = get_regs(pid);
  r.rsi = 91;
  set_regs(pid, r);
  go_on(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(SeccompTrace, AnEmulatedCallIsNotJudged) {
  const pid_t pid = filtered_child(kTraceParent, [] { EXPECT_EQ(syscall(SYS_getppid), 55); });
  go_on(pid, PTRACE_SYSEMU);
  EXPECT_STOP(pid, kCall);
  EXPECT_EQ(get_regs(pid).orig_rax, static_cast<unsigned long>(SYS_getppid));
  user_regs_struct r = get_regs(pid);
  r.rax = 55;
  set_regs(pid, r);
  go_on(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(SeccompTrace, AKillEndsTheEvent) {
  const pid_t pid = filtered_child(kTraceParent, [] { syscall(SYS_getppid); });
  go_on(pid);
  EXPECT_EVENT(pid);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(SeccompTrace, RefusedCallsHaveAnExit) {
  const pid_t pid = filtered_child(
      {load(0), if_equal(SYS_getppid, 0, 1), verdict(SECCOMP_RET_ERRNO | 77),
       if_equal(SYS_getsid, 0, 1), verdict(SECCOMP_RET_TRAP | 6), verdict(SECCOMP_RET_ALLOW)},
      [] { syscall(SYS_getppid), syscall(SYS_getsid, 0); });
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, SYS_getppid, PTRACE_SYSCALL_INFO_ENTRY);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, SYS_getppid, PTRACE_SYSCALL_INFO_EXIT);
  EXPECT_EQ(static_cast<long>(get_regs(pid).rax), -77);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, SYS_getsid, PTRACE_SYSCALL_INFO_ENTRY);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_CALL(pid, SYS_getsid, PTRACE_SYSCALL_INFO_EXIT);
  EXPECT_EQ(get_regs(pid).rax, static_cast<unsigned long>(SYS_getsid));
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_STOP(pid, SIGSYS);
  siginfo_t info = {};
  raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  EXPECT_EQ(info.si_code, 1);
  EXPECT_EQ(info.si_errno, 6);
  go_on(pid, PTRACE_CONT, SIGSYS);
  EXPECT_EQ(next_status(pid) & ~0x80, SIGSYS);
}

TEST(SeccompTrace, ATracerCannotHoldBackAKill) {
  for (uint32_t value : {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD}) {
    const pid_t pid = filtered_child(
        on_call(SYS_getppid, value), [] { syscall(SYS_getppid); }, kOptions | PTRACE_O_TRACEEXIT);
    go_on(pid);
    EXPECT_STOP(pid, SIGTRAP, PTRACE_EVENT_EXIT);
    EXPECT_EQ(event_message(pid) & ~0x80ul, static_cast<unsigned long>(SIGSYS));
    EXPECT_EQ(get_regs(pid).rax, static_cast<unsigned long>(SYS_getppid));
    go_on(pid);
    EXPECT_EQ(next_status(pid) & ~0x80, SIGSYS);
  }
}

TEST(SeccompTrace, SuspendedFilters) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  const pid_t pid = filtered_child(
      on_call(SYS_getppid, SECCOMP_RET_ERRNO | 5),
      [] {
        EXPECT_GT(syscall(SYS_getppid), 0);
        raise(SIGSTOP);
        EXPECT_ERR(syscall(SYS_getppid), EIO);
      },
      kOptions | PTRACE_O_SUSPEND_SECCOMP);
  go_on(pid);
  EXPECT_STOP(pid, SIGSTOP);
  EXPECT_EQ(raw_ptrace(PTRACE_SETOPTIONS, pid, 0, kOptions), 0);
  go_on(pid);
  EXPECT_STATUS(pid, 0);
}

TEST(SeccompTrace, DispatchComesBeforeTheTracer) {
  static volatile char selector;
  const pid_t pid = filtered_child(kTraceParent, [] {
    handle_signal(SIGSYS, [](int) { selector = 0; });
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector) != 0) _exit(5);
    raise(SIGSTOP);
    selector = 1;
    syscall(SYS_getppid);
    _exit(6);
  });
  go_on(pid);
  EXPECT_STOP(pid, SIGSTOP);
  go_on(pid, PTRACE_SYSCALL);
  EXPECT_STOP(pid, SIGSYS);
  go_on(pid, PTRACE_CONT, SIGSYS);
  EXPECT_STATUS(pid, 6 << 8);
}

long vsyscall_time() { return reinterpret_cast<long (*)(long*)>(0xffffffffff600400)(nullptr); }

TEST(SeccompTrace, AVsyscallMayOnlyBeSkipped) {
  if (!WIFEXITED(run_child([] { vsyscall_time(); }))) SKIP("no vsyscall page");
  const Filter filter = on_call(SYS_time, SECCOMP_RET_TRACE | 3);
  pid_t pid = filtered_child(filter, [] {
    EXPECT_GT(vsyscall_time(), 1'000'000);
    EXPECT_EQ(vsyscall_time(), 31);
  });
  go_on(pid);
  EXPECT_EVENT(pid);
  EXPECT_EQ(event_message(pid), 3u);
  EXPECT_EQ(get_regs(pid).orig_rax, static_cast<unsigned long>(SYS_time));
  EXPECT_EQ(get_regs(pid).rip, 0xffffffffff600400u);
  go_on(pid);
  EXPECT_EVENT(pid);
  skip_it(pid, 31);
  go_on(pid);
  EXPECT_STATUS(pid, 0);

  pid = filtered_child(filter, [] { vsyscall_time(); });
  go_on(pid);
  EXPECT_EVENT(pid);
  make_it(pid, SYS_getpid);
  go_on(pid);
  EXPECT_EQ(next_status(pid) & ~0x80, SIGSYS);
}

}  // namespace
