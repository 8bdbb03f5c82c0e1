// Syscall user dispatch: prctl(2), PR_SET_SYSCALL_USER_DISPATCH.
#include <linux/audit.h>
#include <sys/prctl.h>
#include <sys/ucontext.h>

#include <atomic>

#include "tests/guest/harness.h"

// A call from a place of its own: long allowed_call(long nr).
extern "C" {
long allowed_call(long);
extern const char allowed_call_end[];
}
__asm__(
    ".text\n"
    ".globl allowed_call, allowed_call_end\n"
    "allowed_call: mov %rdi, %rax\n"
    "syscall\n"
    "ret\n"
    "allowed_call_end:\n");

namespace {

using namespace guest;

constexpr unsigned long kOff = 0, kOn = 1, kInclusive = 2;
volatile char selector;
siginfo_t seen;
greg_t seen_rax, seen_rip;
int times;

// Lets itself through, then blocks again.
void on_sigsys(int, siginfo_t* info, void* context) {
  selector = 0;
  auto* regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  seen = *info;
  seen_rax = regs[REG_RAX], seen_rip = regs[REG_RIP];
  ++times;
  regs[REG_RAX] = 1000 + times;
}

long dispatch(unsigned long mode, unsigned long offset = 0, unsigned long length = 0,
              volatile char* by = &selector) {
  return prctl(PR_SET_SYSCALL_USER_DISPATCH, mode, offset, length, by);
}
long dispatch_but_here() {
  const auto begin = reinterpret_cast<unsigned long>(allowed_call);
  const auto end = reinterpret_cast<unsigned long>(allowed_call_end);
  return dispatch(kOn, begin, end - begin);
}

TEST(SyscallDispatch, WrongArguments) {
  EXPECT_ERR(dispatch(3), EINVAL);
  EXPECT_ERR(dispatch(kOff), EINVAL);
  EXPECT_ERR(dispatch(kOff, 1, 0, nullptr), EINVAL);
  EXPECT_ERR(dispatch(kOff, 0, 1, nullptr), EINVAL);
  EXPECT_OK(dispatch(kOff, 0, 0, nullptr));
  EXPECT_ERR(dispatch(kOn, 1, 0), EINVAL);
  EXPECT_ERR(dispatch(kOn, 2, -1ul), EINVAL);
  EXPECT_ERR(dispatch(kOn, 0, 0, reinterpret_cast<char*>(-1ul)), EFAULT);
  EXPECT_OK(dispatch(kOn, 0, -1ul));
  EXPECT_OK(dispatch(kOn, 0, 0));
  EXPECT_OK(dispatch(kOff, 0, 0, nullptr));
}

TEST(SyscallDispatch, BlockedCallsComeAsSigsys) {
  handle_signal_info(SIGSYS, on_sigsys);
  for (int i = 0; i < 300; ++i) getpid();  // A place that a platform may have changed.
  ASSERT_OK(dispatch_but_here());
  EXPECT_EQ(getpid(), allowed_call(SYS_getpid));
  for (int i = 1; i <= 50; ++i) {
    selector = 1;
    const long result = syscall(SYS_getpid, 1, 2, 3);
    EXPECT_EQ(selector, 0);
    EXPECT_EQ(result, 1000 + i);
  }
  EXPECT_EQ(times, 50);
  EXPECT_EQ(seen.si_code, 2);
  EXPECT_EQ(seen.si_errno, 0);
  EXPECT_EQ(seen.si_syscall, SYS_getpid);
  EXPECT_EQ(seen.si_arch, static_cast<unsigned>(AUDIT_ARCH_X86_64));
  EXPECT_EQ(reinterpret_cast<greg_t>(seen.si_call_addr), seen_rip);
  EXPECT_EQ(seen_rax, SYS_getpid);
  // From the range, whatever the selector says.
  selector = 1;
  const long parent = allowed_call(SYS_getppid);
  selector = 0;
  EXPECT_EQ(parent, getppid());
  EXPECT_EQ(times, 50);
}

TEST(SyscallDispatch, WithoutSelectorAllAreBlocked) {
  // The return from the handler, too, while its signal is blocked.
  EXPECT_KILLED(run_child([] {
                  handle_signal_info(SIGSYS, on_sigsys);
                  ASSERT_OK(dispatch(kOn, 0, 0, nullptr));
                  getppid();
                }),
                SIGSYS);
}

TEST(SyscallDispatch, UnknownSelectorsKill) {
  EXPECT_KILLED(run_child([] {
                  handle_signal_info(SIGSYS, on_sigsys);
                  ASSERT_OK(dispatch_but_here());
                  selector = 2;
                  getppid();
                }),
                SIGSYS);
  EXPECT_KILLED(run_child([] {
                  handle_signal(SIGSEGV, [](int) {});
                  ASSERT_OK(dispatch(kOn, 0, 0, reinterpret_cast<char*>(8)));
                  getppid();
                }),
                SIGSEGV);
}

TEST(SyscallDispatch, NeitherForkNorThreadsInherit) {
  handle_signal_info(SIGSYS, on_sigsys);
  ASSERT_OK(dispatch_but_here());
  const long pid = allowed_call(SYS_getpid);
  // This thread makes no call while the selector, which both have, says that it may not.
  static std::atomic<bool> may_begin, is_done;
  Thread other([pid] {
    while (!may_begin) {
    }
    for (int i = 0; i < 10; ++i) EXPECT_EQ(getpid(), pid);
    selector = 1;
    EXPECT_EQ(getpid(), pid);
    selector = 0;
    is_done = true;
  });
  may_begin = true;
  while (!is_done) {
  }
  other.join();
  EXPECT_EXITED(run_child([] {
                  selector = 1;
                  const long parent = getppid();
                  selector = 0;
                  EXPECT_GT(parent, 1);
                }),
                0);
  EXPECT_EQ(times, 0);
}

TEST(SyscallDispatch, ExecEndsIt) {
  const pid_t pid = fork();
  if (pid == 0) {
    ASSERT_OK(dispatch_but_here());
    static char path[] = "/proc/self/exe", name[] = "test", list[] = "--list";
    static char* argv[] = {name, list, nullptr};
    execve(path, argv, argv + 2);
    _exit(99);
  }
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(SyscallDispatch, InclusiveRange) {
  handle_signal_info(SIGSYS, on_sigsys);
  const auto begin = reinterpret_cast<unsigned long>(allowed_call);
  const auto end = reinterpret_cast<unsigned long>(allowed_call_end);
  errno = 0;
  if (dispatch(kInclusive, begin, end - begin) != 0 && errno == EINVAL) SKIP("not of this kernel");
  selector = 1;
  const long pid = getpid();
  const long answer = allowed_call(SYS_getpid);
  selector = 0;
  EXPECT_GT(pid, 1);
  EXPECT_EQ(answer, 1001);
  EXPECT_ERR(dispatch(kInclusive, begin, 0), EINVAL);
  EXPECT_ERR(dispatch(kInclusive, begin, -1ul), EINVAL);
}

}  // namespace
