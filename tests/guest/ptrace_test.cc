// ptrace(2): system call stops, single steps, memory and registers.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

TEST(Ptrace, SyscallStopsComeInPairs) {
  const pid_t pid = traced_child([] { syscall(SYS_getpgid, 0); }, PTRACE_O_TRACESYSGOOD);
  bool seen = false;
  for (;;) {
    ASSERT_EQ(raw_ptrace(PTRACE_SYSCALL, pid, 0, 0), 0);
    int status = next_status(pid);
    if (WIFEXITED(status)) break;
    ASSERT_EQ(status, stop_of(SIGTRAP | 0x80));
    user_regs_struct r = get_regs(pid);
    const auto nr = long(r.orig_rax);
    EXPECT_EQ(long(r.rax), -ENOSYS);
    EXPECT_EQ(event_message(pid), 1u);
    if (nr == SYS_exit_group) {
      raw_ptrace(PTRACE_CONT, pid, 0, 0);
      EXPECT_STATUS(pid, 0);
      break;
    }
    ASSERT_EQ(raw_ptrace(PTRACE_SYSCALL, pid, 0, 0), 0);
    ASSERT_EQ(next_status(pid), stop_of(SIGTRAP | 0x80));
    EXPECT_EQ(event_message(pid), 2u);
    r = get_regs(pid);
    EXPECT_EQ(long(r.orig_rax), nr);
    if (nr == SYS_getpgid) {
      seen = true;
      EXPECT_EQ(long(r.rax), long(getpgid(pid)));
    }
  }
  EXPECT_TRUE(seen);
}

TEST(Ptrace, WithoutSysgoodStopsAreTraps) {
  const pid_t pid = traced_child([] { syscall(SYS_getpgid, 0); });
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP);
  siginfo_t info{};
  ASSERT_EQ(raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info), 0);
  EXPECT_EQ(info.si_signo, SIGTRAP);
  EXPECT_EQ(info.si_code, SIGTRAP);
  EXPECT_EQ(info.si_pid, pid);
  raw_ptrace(PTRACE_DETACH, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

// Resumes to the next enter-stop of `nr`.
void run_to_call(pid_t pid, long nr) {
  for (int i = 0; i < 200; ++i) {
    raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
    if (next_status(pid) != stop_of(SIGTRAP | 0x80)) break;
    if (event_message(pid) == 1 && long(get_regs(pid).orig_rax) == nr) return;
  }
  fail(__FILE__, __LINE__, "the call did not come");
  abandon();
}

TEST(Ptrace, CallsCanBeChangedAndSkipped) {
  const pid_t pid = traced_child(
      [] {
        if (syscall(SYS_getpgid, 12345678) != getppid()) _exit(1);
        if (syscall(SYS_getpgid, 12345678) != 4711) _exit(2);
        errno = 0;
        if (syscall(SYS_getpgid, 0) != -1 || errno != EDOM) _exit(3);
        if (syscall(SYS_getpgid, 0) != 99) _exit(4);
      },
      PTRACE_O_TRACESYSGOOD);
  run_to_call(pid, SYS_getpgid);  // Another number.
  user_regs_struct r = get_regs(pid);
  EXPECT_EQ(r.rdi, 12345678u);
  r.orig_rax = SYS_getppid;
  set_regs(pid, r);
  run_to_call(pid, SYS_getpgid);  // Skipped, with a result of the tracer's.
  r = get_regs(pid);
  r.orig_rax = -1;
  r.rax = 4711;
  set_regs(pid, r);
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(get_regs(pid).rax, 4711u);
  run_to_call(pid, SYS_getpgid);  // Skipped, and an error at the exit.
  ASSERT_EQ(raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.orig_rax), -1), 0);
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(long(get_regs(pid).rax), -ENOSYS);
  ASSERT_EQ(raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.rax), -EDOM), 0);
  run_to_call(pid, SYS_getpgid);  // Its result changed at the exit.
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  r = get_regs(pid);
  r.rax = 99;
  set_regs(pid, r);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

TEST(Ptrace, SysemuSkipsEveryCall) {
  const pid_t pid = traced_child(
      [] {
        const long a = syscall(SYS_getpgid, 0);
        const long b = syscall(SYS_getpgid, 0);
        if (a != 1001) _exit(1);
        if (b != getpgid(0)) _exit(2);
      },
      PTRACE_O_TRACESYSGOOD);
  raw_ptrace(PTRACE_SYSEMU, pid, 0, 0);
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(next_status(pid), stop_of(SIGTRAP | 0x80));
    user_regs_struct r = get_regs(pid);
    if (long(r.orig_rax) == SYS_getpgid) {
      r.rax = 1001;
      set_regs(pid, r);
      break;
    }
    r.rip -= 2;  // Another call that the library makes: again, for real.
    r.rax = r.orig_rax;
    r.orig_rax = -1;
    set_regs(pid, r);
    raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);  // The exit-stop of the skipped one.
    EXPECT_STOP(pid, SIGTRAP | 0x80);
    raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
    EXPECT_STOP(pid, SIGTRAP | 0x80);
    raw_ptrace(PTRACE_SYSEMU, pid, 0, 0);
  }
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);  // Its exit-stop.
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(get_regs(pid).rax, 1001u);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

extern "C" {
void step_code();
extern const char step_1[], step_2[], step_3[], step_4[], step_end[];
}
__asm__(
    ".text\n"
    ".globl step_code, step_1, step_2, step_3, step_4, step_end\n"
    "step_code: int3\n"
    "step_1: mov $39, %eax\n"
    "step_2: syscall\n"
    "step_3: nop\n"
    "step_4: nop\n"
    "step_end: ret\n");

TEST(Ptrace, SingleSteps) {
  const pid_t pid = traced_child([] { step_code(); });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP);  // int3
  siginfo_t info{};
  raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  EXPECT_EQ(info.si_code, SI_KERNEL);
  const char* const expected[] = {step_2, step_3, step_4, step_end};
  EXPECT_EQ(get_regs(pid).rip, reinterpret_cast<uint64_t>(step_1));
  for (const char* ip : expected) {
    ASSERT_EQ(raw_ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
    EXPECT_STOP(pid, SIGTRAP);
    user_regs_struct r = get_regs(pid);
    EXPECT_EQ(r.rip, reinterpret_cast<uint64_t>(ip));
    EXPECT_EQ(r.eflags & 0x100, 0u);
    raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
    EXPECT_EQ(info.si_signo, SIGTRAP);
    EXPECT_EQ(info.si_code, ip == step_3 ? TRAP_BRKPT : TRAP_TRACE);
    EXPECT_EQ(reinterpret_cast<uint64_t>(info.si_addr), r.rip);
    if (ip == step_3) EXPECT_EQ(long(r.rax), long(pid));
  }
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

void empty_handler(int) {}

TEST(Ptrace, StepIntoAHandlerStopsAtItsFirstInstruction) {
  const pid_t pid = traced_child([] {
    handle_signal(SIGUSR1, empty_handler);
    raise(SIGSTOP);
  });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSTOP);
  raw_ptrace(PTRACE_SINGLESTEP, pid, 0, SIGUSR1);
  EXPECT_STOP(pid, SIGTRAP);
  EXPECT_EQ(get_regs(pid).rip, reinterpret_cast<uint64_t>(&empty_handler));
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

[[gnu::noinline]] void called(int i) { __asm__ volatile("nop" : : "r"(i)); }

TEST(Ptrace, BreakpointsInReadOnlyText) {
  const pid_t pid = traced_child([] {
    for (int i = 0; i < 3; ++i) called(i);
  });
  const auto at = reinterpret_cast<uint64_t>(&called);
  long word = 0;
  ASSERT_EQ(raw_ptrace(PTRACE_PEEKTEXT, pid, at, &word), 0);
  EXPECT_EQ(word, *reinterpret_cast<const long*>(at));
  ASSERT_EQ(raw_ptrace(PTRACE_POKETEXT, pid, at, (word & ~0xffl) | 0xcc), 0);
  EXPECT_EQ(*reinterpret_cast<const long*>(at), word);  // Ours is another copy.
  for (int i = 0; i < 3; ++i) {
    raw_ptrace(PTRACE_CONT, pid, 0, 0);
    EXPECT_STOP(pid, SIGTRAP);
    user_regs_struct r = get_regs(pid);
    EXPECT_EQ(r.rip, at + 1);
    EXPECT_EQ(r.rdi, unsigned(i));
    r.rip = at;
    set_regs(pid, r);
    raw_ptrace(PTRACE_POKETEXT, pid, at, word);
    raw_ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
    EXPECT_STOP(pid, SIGTRAP);
    raw_ptrace(PTRACE_POKETEXT, pid, at, (word & ~0xffl) | 0xcc);
  }
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

TEST(Ptrace, PeekAndPokeErrors) {
  const pid_t pid = traced_child([] {});
  long word = 0;
  EXPECT_ERR(raw_ptrace(PTRACE_PEEKDATA, pid, 8, &word), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_POKEDATA, pid, 8, 1), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_PEEKDATA, pid, &word, 8), EFAULT);
  EXPECT_ERR(raw_ptrace(PTRACE_PEEKUSER, pid, 4, &word), EIO);
  // The kernel's struct user has two more words than the library's.
  EXPECT_ERR(raw_ptrace(PTRACE_PEEKUSER, pid, sizeof(user) + 16, &word), EIO);
  EXPECT_EQ(raw_ptrace(PTRACE_PEEKUSER, pid, sizeof(user) + 8, &word), 0);
  EXPECT_ERR(raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, u_tsize), 1), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.fs_base), -1), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.cs), 0), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_POKEUSER, pid, offsetof(user, regs.ds), 1), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_CONT, pid, 0, 65), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_LISTEN, pid, 0, 0), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_INTERRUPT, pid, 0, 0), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_SETOPTIONS, pid, 0, 1l << 30), EINVAL);
  EXPECT_ERR(raw_ptrace(12345, pid, 0, 0), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGS, pid, 0, 8), EFAULT);
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGS, 1 << 30, 0, &word), ESRCH);
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGS, getpid(), 0, &word), ESRCH);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

TEST(Ptrace, ARunningTraceeTakesNoRequests) {
  const pid_t pid = traced_child([] { pause(); });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  wait_until_blocked(pid);
  user_regs_struct r;
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGS, pid, 0, &r), ESRCH);
  EXPECT_ERR(raw_ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
  EXPECT_ERR(raw_ptrace(PTRACE_DETACH, pid, 0, 0), ESRCH);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(Ptrace, RegisterSets) {
  const pid_t pid = traced_child([] {});
  user_regs_struct r = get_regs(pid), again{};
  iovec part{&again, sizeof again};
  ASSERT_EQ(raw_ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part), 0);
  EXPECT_EQ(part.iov_len, sizeof again);
  EXPECT_EQ(memcmp(&r, &again, sizeof r), 0);
  part = {&again, 24};
  ASSERT_EQ(raw_ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part), 0);
  EXPECT_EQ(part.iov_len, 24u);
  part = {&again, 20};
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part), EINVAL);
  EXPECT_ERR(raw_ptrace(PTRACE_GETREGSET, pid, 0x7777, &part), EINVAL);
  r.r12 = 0x1122334455667788;
  r.eflags |= 1;
  set_regs(pid, r);
  EXPECT_EQ(get_regs(pid).r12, 0x1122334455667788u);
  // Flags that user code may not set are kept.
  r.eflags |= 0x3000 | 0x200;
  const auto flags = get_regs(pid).eflags;
  set_regs(pid, r);
  EXPECT_EQ(get_regs(pid).eflags, flags);
  raw_ptrace(PTRACE_KILL, pid, 0, 0);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(Ptrace, FloatingPointRegisters) {
  const pid_t pid = traced_child([] {
    __asm__ volatile(
        "mov $0x4142434445464748, %%rax\n\tmovq %%rax, %%xmm5\n\tint3\n\t"
        "movq %%xmm5, %%rax\n\tmov $60, %%edx\n\txchg %%rax, %%rdx\n\tmov %%rdx, %%rdi\n\tsyscall"
        :
        :
        : "rax", "rdx", "rdi", "xmm5", "rcx", "r11", "memory");
  });
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP);
  user_fpregs_struct f{};
  ASSERT_EQ(raw_ptrace(PTRACE_GETFPREGS, pid, 0, &f), 0);
  EXPECT_EQ(f.xmm_space[20], 0x45464748u);
  EXPECT_EQ(f.xmm_space[21], 0x41424344u);
  EXPECT_EQ(f.mxcsr, 0x1f80u);
  f.mxcsr = 0x80000000;
  EXPECT_ERR(raw_ptrace(PTRACE_SETFPREGS, pid, 0, &f), EINVAL);
  f.mxcsr = 0x1f80;
  f.xmm_space[20] = 33;
  ASSERT_EQ(raw_ptrace(PTRACE_SETFPREGS, pid, 0, &f), 0);
  static char state[16384];
  iovec part{state, sizeof state};
  ASSERT_EQ(raw_ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &part), 0);
  EXPECT_GE(part.iov_len, 576u);
  uint32_t low;
  memcpy(&low, state + 160 + 5 * 16, 4);
  EXPECT_EQ(low, 33u);
  low = 34;
  memcpy(state + 160 + 5 * 16, &low, 4);
  ASSERT_EQ(raw_ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &part), 0);
  iovec less{state, part.iov_len - 8};
  EXPECT_ERR(raw_ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &less), EFAULT);
  state[512 + 8] = 1;  // XCOMP_BV
  EXPECT_ERR(raw_ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &part), EINVAL);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 34 << 8);
}

TEST(Ptrace, SyscallInfo) {
  const pid_t pid =
      traced_child([] { syscall(SYS_getpgid, 987654321, 2, 3, 4, 5, 6); }, PTRACE_O_TRACESYSGOOD);
  __ptrace_syscall_info info{};
  EXPECT_EQ(raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info), 24);
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_NONE);
  EXPECT_EQ(info.arch, 0xc000003eu);
  run_to_call(pid, SYS_getpgid);
  EXPECT_EQ(raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info), 80);
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_ENTRY);
  EXPECT_EQ(info.entry.nr, unsigned(SYS_getpgid));
  EXPECT_EQ(info.entry.args[0], 987654321u);
  EXPECT_EQ(info.entry.args[5], 6u);
  EXPECT_EQ(info.instruction_pointer, get_regs(pid).rip);
  info.op = 17;
  EXPECT_EQ(raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, 0, 8), 80);
  EXPECT_EQ(info.op, 17);
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  EXPECT_EQ(raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info), 33);
  EXPECT_EQ(info.op, PTRACE_SYSCALL_INFO_EXIT);
  EXPECT_EQ(long(info.exit.rval), -ESRCH);
  EXPECT_EQ(info.exit.is_error, 1);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

TEST(Ptrace, SetSyscallInfo) {
  const pid_t pid = traced_child(
      [] {
        if (syscall(SYS_getpgid, 987654321) != getppid()) _exit(1);
        if (syscall(SYS_getpgid, 0) != 77) _exit(2);
      },
      PTRACE_O_TRACESYSGOOD);
  constexpr long kSet = 0x4212;
  struct {
    uint8_t op, reserved;
    uint16_t flags;
    uint32_t arch;
    uint64_t ip, sp, nr, args[6], more;
  } info{};
  static_assert(sizeof info == 88);
  run_to_call(pid, SYS_getpgid);
  raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
  info.nr = SYS_getppid;
  if (raw_ptrace(kSet, pid, sizeof info, &info) == -1 && errno == EIO) {
    kill(pid, SIGKILL);
    skip("this kernel has no PTRACE_SET_SYSCALL_INFO");
  }
  EXPECT_ERR(raw_ptrace(kSet, pid, sizeof info - 8, &info), EINVAL);
  info.flags = 1;
  EXPECT_ERR(raw_ptrace(kSet, pid, sizeof info, &info), EINVAL);
  info.flags = 0;
  info.nr = 1ull << 40;
  EXPECT_ERR(raw_ptrace(kSet, pid, sizeof info, &info), ERANGE);
  info.op = PTRACE_SYSCALL_INFO_EXIT;
  EXPECT_ERR(raw_ptrace(kSet, pid, sizeof info, &info), EINVAL);
  run_to_call(pid, SYS_getpgid);
  raw_ptrace(PTRACE_SYSCALL, pid, 0, 0);
  EXPECT_STOP(pid, SIGTRAP | 0x80);
  info = {};
  info.op = PTRACE_SYSCALL_INFO_EXIT;
  info.nr = 77;
  EXPECT_EQ(raw_ptrace(kSet, pid, sizeof info, &info), 0);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

TEST(Ptrace, RseqConfiguration) {
  const pid_t pid = traced_child([] {});
  struct {
    uint64_t pointer;
    uint32_t size, signature, flags, pad;
  } c{};
  EXPECT_EQ(raw_ptrace(0x420f, pid, sizeof c, &c), 24);
  EXPECT_NE(c.pointer, 0u);  // The library's own.
  EXPECT_GE(c.size, 32u);
  EXPECT_EQ(c.signature, 0x53053053u);
  EXPECT_ERR(raw_ptrace(0x420f, pid, sizeof c, 8), EFAULT);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

char g_selector;

TEST(Ptrace, SyscallUserDispatchConfiguration) {
  constexpr long kSet = 0x4210, kGet = 0x4211;
  const pid_t pid = traced_child([] {
    g_selector = 0;
    raise(SIGUSR1);
    g_selector = 1;  // Blocks: the next call is a signal.
    for (;;) syscall(SYS_getpid);
  });
  struct {
    uint64_t mode, selector, offset, length;
  } c{7, 7, 7, 7};
  if (raw_ptrace(kGet, pid, sizeof c, &c) == -1 && errno == EIO) {
    kill(pid, SIGKILL);
    skip("this kernel has no PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG");
  }
  EXPECT_EQ(c.mode, 0u);
  EXPECT_ERR(raw_ptrace(kGet, pid, sizeof c - 8, &c), EINVAL);
  c = {9, 0, 0, 0};
  EXPECT_ERR(raw_ptrace(kSet, pid, sizeof c, &c), EINVAL);
  c = {1, reinterpret_cast<uint64_t>(&g_selector), 0, 0};
  EXPECT_EQ(raw_ptrace(kSet, pid, sizeof c, &c), 0);
  c = {};
  EXPECT_EQ(raw_ptrace(kGet, pid, sizeof c, &c), 0);
  EXPECT_EQ(c.mode, 1u);
  EXPECT_EQ(c.selector, reinterpret_cast<uint64_t>(&g_selector));
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGUSR1);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSYS);
  siginfo_t info{};
  raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
  EXPECT_EQ(info.si_code, 2);  // SYS_USER_DISPATCH
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(Ptrace, DebugRegisters) {
  static volatile long watched = 0;
  const pid_t pid = traced_child([] {
    watched = watched + 1;
    called(1);
  });
  const auto at = reinterpret_cast<uint64_t>(&watched);
  auto offset = [](int n) { return offsetof(user, u_debugreg) + size_t(n) * 8; };
  ASSERT_EQ(raw_ptrace(PTRACE_POKEUSER, pid, offset(0), at), 0);
  ASSERT_EQ(raw_ptrace(PTRACE_POKEUSER, pid, offset(1), &called), 0);
  // 0: writes of eight bytes. 1: execution.
  ASSERT_EQ(raw_ptrace(PTRACE_POKEUSER, pid, offset(7), 1 | 1 << 2 | 0b1001 << 16), 0);
  EXPECT_ERR(raw_ptrace(PTRACE_POKEUSER, pid, offset(4), 0), EIO);
  EXPECT_ERR(raw_ptrace(PTRACE_POKEUSER, pid, offset(2), -1), EINVAL);
  for (const uint64_t hit : {1, 2}) {
    raw_ptrace(PTRACE_CONT, pid, 0, 0);
    EXPECT_STOP(pid, SIGTRAP);
    siginfo_t info{};
    raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
    EXPECT_EQ(info.si_code, 4);  // TRAP_HWBKPT
    long status = 0;
    raw_ptrace(PTRACE_PEEKUSER, pid, offset(6), &status);
    EXPECT_EQ(uint64_t(status) & 0xf, hit);
    raw_ptrace(PTRACE_POKEUSER, pid, offset(6), 0);
    if (hit == 2) EXPECT_EQ(get_regs(pid).rip, reinterpret_cast<uint64_t>(&called));
  }
  long control = 0;
  raw_ptrace(PTRACE_PEEKUSER, pid, offset(7), &control);
  EXPECT_EQ(control & 5, 5);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

// The highest addresses that a program may have: nothing can be run there. On Linux that is where
// stacks are.
TEST(Ptrace, AnInstructionPointerBeyondAllMappings) {
  for (const uint64_t ip : {0x7fffd0000000, 0x7fffd0000040, 0x7fffd0001234, 0x7fffd0100000,
                            0x7fffd1000000, 0x7fffd1002000, 0x7fffe0000000, 0x7fffffffe000}) {
    const pid_t pid = traced_child([] {});
    user_regs_struct r = get_regs(pid);
    r.rip = ip, r.rax = SYS_exit_group, r.rdi = 0;
    set_regs(pid, r);
    raw_ptrace(ip & 0x40 ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, 0, 0);
    EXPECT_STOP(pid, SIGSEGV);
    siginfo_t info{};
    raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
    EXPECT_TRUE(info.si_code == SEGV_MAPERR || info.si_code == SEGV_ACCERR);
    EXPECT_EQ(uint64_t(info.si_addr), ip);
    EXPECT_EQ(get_regs(pid).rip, ip);
    raw_ptrace(PTRACE_CONT, pid, 0, SIGSEGV);
    const int status = next_status(pid);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  }
}

TEST(Ptrace, AnInstructionPointerThatLeadsNowhere) {
  for (const uint64_t ip : {0x8000000000000000ul, 0x800000000000ul}) {
    const pid_t pid = traced_child([] {});
    user_regs_struct r = get_regs(pid);
    r.rip = ip;
    set_regs(pid, r);
    raw_ptrace(PTRACE_CONT, pid, 0, 0);
    EXPECT_STOP(pid, SIGSEGV);
    siginfo_t info{};
    raw_ptrace(PTRACE_GETSIGINFO, pid, 0, &info);
    EXPECT_EQ(info.si_code, SI_KERNEL);
    EXPECT_EQ(get_regs(pid).rip, ip);
    raw_ptrace(PTRACE_CONT, pid, 0, SIGSEGV);
    const int status = next_status(pid);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  }
}

}  // namespace
