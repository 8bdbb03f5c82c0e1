// seccomp(2): modes, the checks of filters, verdicts.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/ucontext.h>

#include "tests/guest/seccomp_filters.h"

namespace {

using namespace guest;

long seccomp(unsigned operation, unsigned flags, const void* args) {
  return syscall(SYS_seccomp, operation, flags, args);
}

TEST(Seccomp, WrongArguments) {
  no_new_privs();
  const Filter allow = {verdict(SECCOMP_RET_ALLOW)};
  EXPECT_ERR(seccomp(17, 0, nullptr), EINVAL);
  EXPECT_ERR(seccomp(SECCOMP_SET_MODE_STRICT, 1, nullptr), EINVAL);
  EXPECT_ERR(seccomp(SECCOMP_SET_MODE_STRICT, 0, &allow), EINVAL);
  EXPECT_ERR(seccomp(SECCOMP_SET_MODE_FILTER, 0, nullptr), EFAULT);
  EXPECT_ERR(set_filter(allow, 1 << 20), EINVAL);
  EXPECT_ERR(set_filter(allow, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER),
             EINVAL);
  EXPECT_ERR(set_filter(allow, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV), EINVAL);
  EXPECT_ERR(set_filter({}), EINVAL);
  EXPECT_ERR(set_filter(Filter(BPF_MAXINSNS + 1, verdict(0))), EINVAL);
  sock_fprog program = {1, nullptr};
  EXPECT_ERR(seccomp(SECCOMP_SET_MODE_FILTER, 0, &program), EINVAL);
  program.filter = reinterpret_cast<sock_filter*>(8);
  EXPECT_ERR(seccomp(SECCOMP_SET_MODE_FILTER, 0, &program), EFAULT);
  EXPECT_ERR(prctl(PR_SET_SECCOMP, 0, 0, 0, 0), EINVAL);
  EXPECT_ERR(prctl(PR_SET_SECCOMP, 3, 0, 0, 0), EINVAL);
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 0);
  EXPECT_EQ(set_filter(allow, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW), 0);
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
}

TEST(Seccomp, NeedsNoNewPrivsOrPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(set_filter({verdict(SECCOMP_RET_ALLOW)}), EACCES);
                  // The length is looked at before, the program after.
                  EXPECT_ERR(set_filter({}), EINVAL);
                  EXPECT_ERR(set_filter({op(BPF_LD, 0)}), EACCES);
                  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
                  EXPECT_OK(set_filter({verdict(SECCOMP_RET_ALLOW)}));
                }),
                0);
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  EXPECT_OK(set_filter({verdict(SECCOMP_RET_ALLOW)}));
}

TEST(Seccomp, ProgramsAreChecked) {
  no_new_privs();
  const sock_filter end = verdict(SECCOMP_RET_ALLOW);
  const struct {
    bool good;
    Filter filter;
  } kCases[] = {
      {true, {op(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW), op(BPF_RET | BPF_A)}},
      {false, {op(BPF_RET | BPF_X)}},
      {false, {load(0)}},
      {false, {end, load(0)}},
      {true, {load(60), end}},
      {false, {load(64), end}},
      {false, {load(2), end}},
      {false, {load(0xfffff000), end}},
      {false, {op(BPF_LD | BPF_H | BPF_ABS, 0), end}},
      {false, {op(BPF_LD | BPF_W | BPF_IND, 0), end}},
      {false, {op(BPF_LDX | BPF_B | BPF_MSH, 0), end}},
      {true, {op(BPF_LD | BPF_W | BPF_LEN), op(BPF_LDX | BPF_W | BPF_LEN), end}},
      {true, {op(BPF_LD | BPF_IMM, 5), op(BPF_LDX | BPF_IMM, 5), end}},
      {true, {op(BPF_ALU | BPF_DIV | BPF_K, 1), end}},
      {false, {op(BPF_ALU | BPF_DIV | BPF_K, 0), end}},
      {true, {op(BPF_LDX | BPF_IMM, 1), op(BPF_ALU | BPF_DIV | BPF_X), end}},
      {false, {op(BPF_ALU | BPF_MOD | BPF_K, 1), end}},
      {true, {op(BPF_ALU | BPF_LSH | BPF_K, 31), end}},
      {false, {op(BPF_ALU | BPF_LSH | BPF_K, 32), end}},
      {false, {op(BPF_ALU | BPF_RSH | BPF_K, 32), end}},
      {true, {op(BPF_ALU | BPF_RSH | BPF_X), op(BPF_ALU | BPF_NEG), end}},
      {false, {op(BPF_ALU | BPF_NEG | BPF_X), end}},
      {false, {op(0x7f), end}},
      {false, {op(0x100 | BPF_RET), end}},
      {true, {op(BPF_JMP | BPF_JA, 0), end}},
      {false, {op(BPF_JMP | BPF_JA, 1), end}},
      {false, {op(BPF_JMP | BPF_JA, 0xffffffff), end}},
      {true, {if_equal(0, 0, 0), end}},
      {false, {if_equal(0, 1, 0), end}},
      {false, {if_equal(0, 0, 1), end}},
      {true, {op(BPF_ST, 15), op(BPF_LD | BPF_MEM, 15), end}},
      {false, {op(BPF_ST, 16), end}},
      {false, {op(BPF_LD | BPF_MEM, 0), end}},
      {false, {op(BPF_LDX | BPF_MEM, 16), end}},
      {false, {op(BPF_ST, 1), op(BPF_LDX | BPF_MEM, 0), end}},
      // Written on one way only, then on both.
      {false, {if_equal(0, 0, 1), op(BPF_ST, 3), op(BPF_LD | BPF_MEM, 3), end}},
      {true,
       {if_equal(0, 0, 2), op(BPF_ST, 3), op(BPF_JMP | BPF_JA, 1), op(BPF_STX, 3),
        op(BPF_LD | BPF_MEM, 3), end}},
      {true, {op(BPF_JMP | BPF_JA, 1), op(BPF_LD | BPF_MEM, 3), end}},
      {false, {end, op(BPF_LD | BPF_MEM, 3), end}},
      {true, {op(BPF_MISC | BPF_TAX), op(BPF_MISC | BPF_TXA), end}},
      {false, {op(BPF_MISC | 0x40), end}},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    errno = 0;
    const long result = set_filter(kCases[i].filter);
    if (kCases[i].good ? result == 0 : result == -1 && errno == EINVAL) continue;
    fail(__FILE__, __LINE__, "case " + std::to_string(i) + ": " + describe_errno(errno));
  }
}

int count_until_full(const Filter& filter) {
  int n = 0;
  while (set_filter(filter) == 0) ++n;
  EXPECT_EQ(errno, ENOMEM);
  return n;
}

TEST(Seccomp, AllFiltersTogetherAreLimited) {
  no_new_privs();
  Filter full(BPF_MAXINSNS, op(BPF_LD | BPF_IMM));
  full.back() = verdict(SECCOMP_RET_ALLOW);
  EXPECT_EQ(count_until_full(full), 7);
  // What is left is 32768 - 7 * 4104. Each kind of instruction counts as what Linux makes of it.
  const Filter mixed = {op(BPF_LDX | BPF_IMM, 1),
                        op(BPF_JMP | BPF_JEQ | BPF_K, 0x80000000, 1, 1),
                        op(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
                        op(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 1),
                        op(BPF_ALU | BPF_DIV | BPF_X),
                        op(BPF_JMP | BPF_JA, 0),
                        op(BPF_JMP | BPF_JGE | BPF_K, 5, 1, 0),
                        op(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW),
                        op(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW),
                        op(BPF_RET | BPF_A),
                        verdict(SECCOMP_RET_ALLOW)};
  EXPECT_EQ(count_until_full(mixed), 155);
  EXPECT_EQ(count_until_full({verdict(SECCOMP_RET_ALLOW)}), 1);
  EXPECT_EQ(proc_field("/proc/self/status", "Seccomp_filters"), "163");
}

TEST(Seccomp, Errno) {
  confine(on_call(SYS_getppid, SECCOMP_RET_ERRNO | EOWNERDEAD));
  EXPECT_ERR(syscall(SYS_getppid), EOWNERDEAD);
  EXPECT_GT(syscall(SYS_getpid), 0);
  confine(on_call(SYS_getpid, SECCOMP_RET_ERRNO | 0));
  EXPECT_EQ(syscall(SYS_getpid), 0);
  EXPECT_ERR(syscall(SYS_getppid), EOWNERDEAD);
  confine(on_call(SYS_getuid, SECCOMP_RET_ERRNO | 0xffff));
  EXPECT_ERR(syscall(SYS_getuid), 4095);
  confine(on_call(5000, SECCOMP_RET_ERRNO | EXDEV));
  EXPECT_ERR(syscall(5000), EXDEV);
  EXPECT_ERR(syscall(5001), ENOSYS);
  confine(on_call(-1, SECCOMP_RET_ERRNO | ENOTBLK));
  EXPECT_ERR(syscall(-1), ENOTBLK);
}

TEST(Seccomp, SeesArgumentsArchitectureAndPlace) {
  no_new_privs();
  // ERRNO with what it loads, for calls of this number.
  auto show = [](long nr, uint32_t offset) {
    return Filter{load(0),
                  if_equal(static_cast<uint32_t>(nr), 0, 4),
                  load(offset),
                  op(BPF_ALU | BPF_AND | BPF_K, 0xfff),
                  op(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO),
                  op(BPF_RET | BPF_A),
                  verdict(SECCOMP_RET_ALLOW)};
  };
  for (uint32_t i = 0; i < 6; ++i) {
    ASSERT_OK(set_filter(show(3000 + 2 * i, kArgs + 8 * i)));
    ASSERT_OK(set_filter(show(3001 + 2 * i, kArgs + 8 * i + 4)));
  }
  ASSERT_OK(set_filter(show(3100, 4)));
  ASSERT_OK(set_filter(show(3101, 12)));
  ASSERT_OK(set_filter(show(SYS_tkill, kArgs + 8)));
  for (long i = 0; i < 6; ++i) {
    const long a = 0x100000300 + 0x100000001 * i;
    EXPECT_ERR(syscall(3000 + 2 * i, a, a, a, a, a, a), 0x300 + static_cast<int>(i));
    EXPECT_ERR(syscall(3001 + 2 * i, a, a, a, a, a, a), 1 + static_cast<int>(i));
  }
  EXPECT_ERR(syscall(3100), AUDIT_ARCH_X86_64 & 0xfff);
  EXPECT_EQ(syscall(3101), 0);  // The program is linked low.
  for (int i = 1; i < 500; ++i) EXPECT_ERR(syscall(SYS_tkill, 0, i), i);
}

TEST(Seccomp, SeesTheInstructionPointer) {
  extern const char here[] __asm__("after_the_call");
  const auto address = reinterpret_cast<uintptr_t>(here);
  const auto low = static_cast<uint32_t>(address);
  confine({load(0), if_equal(SYS_getppid, 0, 3), load(8), if_equal(low, 0, 1),
           verdict(SECCOMP_RET_ERRNO | ENOTUNIQ), verdict(SECCOMP_RET_ALLOW)});
  for (int i = 0; i < 3; ++i) {
    long result;
    __asm__ volatile("syscall\nafter_the_call:"
                     : "=a"(result)
                     : "a"(SYS_getppid)
                     : "rcx", "r11", "memory");
    EXPECT_EQ(result, -ENOTUNIQ);
  }
  EXPECT_EQ(syscall(SYS_getppid), getppid());
}

TEST(Seccomp, TheStrictestVerdictWins) {
  no_new_privs();
  const uint32_t kLoosestFirst[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_TRACE,
                                    SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ERRNO | 1};
  for (uint32_t v : kLoosestFirst) ASSERT_OK(set_filter(on_call(SYS_getppid, v)));
  ASSERT_OK(set_filter(on_call(SYS_getppid, SECCOMP_RET_ALLOW)));
  EXPECT_ERR(syscall(SYS_getppid), EPERM);
  // Among equals, the newest.
  ASSERT_OK(set_filter(on_call(SYS_getppid, SECCOMP_RET_ERRNO | 2)));
  EXPECT_ERR(syscall(SYS_getppid), ENOENT);
  // Also where only one looks at arguments.
  auto by_argument = [](uint32_t value) {
    return Filter{load(0),        if_equal(SYS_getppid, 0, 3), load(kArgs), if_equal(7, 0, 1),
                  verdict(value), verdict(SECCOMP_RET_ALLOW)};
  };
  ASSERT_OK(set_filter(by_argument(SECCOMP_RET_ERRNO | 3)));
  EXPECT_ERR(syscall(SYS_getppid, 7), ESRCH);
  EXPECT_ERR(syscall(SYS_getppid, 8), ENOENT);
  ASSERT_OK(set_filter(on_call(SYS_getppid, SECCOMP_RET_ERRNO | 4)));
  EXPECT_ERR(syscall(SYS_getppid, 7), EINTR);
}

TEST(Seccomp, WithoutTracerOrListener) {
  confine(on_call(SYS_getppid, SECCOMP_RET_TRACE | 5));
  EXPECT_ERR(syscall(SYS_getppid), ENOSYS);
  confine(on_call(SYS_getpid, SECCOMP_RET_USER_NOTIF | 5));
  EXPECT_ERR(syscall(SYS_getpid), ENOSYS);
  confine(on_call(SYS_getuid, SECCOMP_RET_LOG));
  EXPECT_EQ(syscall(SYS_getuid), static_cast<long>(geteuid()));
}

siginfo_t seen_info;
greg_t seen_rax, seen_rip;
int times_seen;
void on_sigsys(int, siginfo_t* info, void* context) {
  auto* regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  seen_info = *info;
  seen_rax = regs[REG_RAX];
  seen_rip = regs[REG_RIP];
  ++times_seen;
  regs[REG_RAX] = 4242;
}

TEST(Seccomp, TrapTellsTheCall) {
  handle_signal_info(SIGSYS, on_sigsys);
  confine(on_call(SYS_getppid, SECCOMP_RET_TRAP | 0x1234));
  for (int i = 1; i <= 100; ++i) {
    EXPECT_EQ(syscall(SYS_getppid, 1, 2, 3), 4242);
    EXPECT_EQ(times_seen, i);
  }
  EXPECT_EQ(seen_info.si_signo, SIGSYS);
  EXPECT_EQ(seen_info.si_code, 1);
  EXPECT_EQ(seen_info.si_errno, 0x1234);
  EXPECT_EQ(seen_info.si_syscall, SYS_getppid);
  EXPECT_EQ(seen_info.si_arch, static_cast<unsigned>(AUDIT_ARCH_X86_64));
  EXPECT_EQ(reinterpret_cast<greg_t>(seen_info.si_call_addr), seen_rip);
  EXPECT_EQ(seen_rax, SYS_getppid);
}

TEST(Seccomp, TrapCannotBeBlockedOrIgnored) {
  EXPECT_KILLED(run_child([] {
                  handle_signal_info(SIGSYS, on_sigsys);
                  block_signal(SIGSYS);
                  confine(on_call(SYS_getppid, SECCOMP_RET_TRAP));
                  syscall(SYS_getppid);
                }),
                SIGSYS);
  EXPECT_KILLED(run_child([] {
                  signal(SIGSYS, SIG_IGN);
                  confine(on_call(SYS_getppid, SECCOMP_RET_TRAP));
                  syscall(SYS_getppid);
                }),
                SIGSYS);
}

int status_of(Filter filter) {
  return run_child([&] {
    handle_signal_info(SIGSYS, on_sigsys);
    confine(filter);
    syscall(SYS_getppid);
  });
}

TEST(Seccomp, KillingVerdictsCannotBeHandled) {
  EXPECT_KILLED(status_of(on_call(SYS_getppid, SECCOMP_RET_KILL_PROCESS)), SIGSYS);
  EXPECT_KILLED(status_of(on_call(SYS_getppid, SECCOMP_RET_KILL_THREAD)), SIGSYS);
  // Verdicts that nobody knows.
  EXPECT_KILLED(status_of(on_call(SYS_getppid, 0x00040000)), SIGSYS);
  EXPECT_KILLED(status_of(on_call(SYS_getppid, 0x7ffe0000)), SIGSYS);
  EXPECT_KILLED(status_of(on_call(SYS_getppid, 0xdead0000)), SIGSYS);
  // Division by what turns out to be zero ends a program with 0.
  EXPECT_KILLED(status_of({load(0), if_equal(SYS_getppid, 0, 2), op(BPF_LDX | BPF_IMM, 0),
                           op(BPF_ALU | BPF_DIV | BPF_X), verdict(SECCOMP_RET_ALLOW)}),
                SIGSYS);
}

TEST(Seccomp, TheParentIsToldOfTheKill) {
  const rlimit none = {0, 0};
  ASSERT_OK(setrlimit(RLIMIT_CORE, &none));
  const pid_t pid = fork_child([] {
    confine(on_call(SYS_getppid, SECCOMP_RET_KILL_PROCESS));
    syscall(SYS_getppid);
  });
  siginfo_t info = {};
  ASSERT_OK(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED));
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGSYS);
}

TEST(Seccomp, TheInitOfANamespaceIsKilled) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  for (uint32_t value : {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP}) {
    EXPECT_EXITED(run_child([=] {
                    MUST(unshare(CLONE_NEWPID));
                    EXPECT_KILLED(run_child([=] {
                                    EXPECT_EQ(getpid(), 1);
                                    confine(on_call(SYS_getppid, value));
                                    syscall(SYS_getppid);
                                  }),
                                  SIGSYS);
                  }),
                  0);
  }
}

TEST(Seccomp, StrictMode) {
  int pipe_fds[2];
  ASSERT_OK(pipe(pipe_fds));
  EXPECT_EXITED(run_child([&] {
                  ASSERT_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0x1234));
                  char c = 'x';
                  if (write(pipe_fds[1], &c, 1) == 1 && read(pipe_fds[0], &c, 1) == 1) {
                    syscall(SYS_exit, 7);
                  }
                  syscall(SYS_exit, 8);
                }),
                7);
  for (long nr : {SYS_exit_group, SYS_getpid, SYS_prctl, SYS_close}) {
    EXPECT_KILLED(run_child([&] {
                    signal(SIGKILL, SIG_IGN);
                    ASSERT_OK(seccomp(SECCOMP_SET_MODE_STRICT, 0, nullptr));
                    syscall(nr, 0);
                  }),
                  SIGKILL);
  }
}

TEST(Seccomp, ModesDoNotMix) {
  confine({verdict(SECCOMP_RET_ALLOW)});
  EXPECT_ERR(seccomp(SECCOMP_SET_MODE_STRICT, 0, nullptr), EINVAL);
  EXPECT_ERR(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
}

TEST(Seccomp, WhatThereIs) {
  for (uint32_t action :
       {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
        SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW}) {
    EXPECT_OK(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action));
    EXPECT_ERR(seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &action), EINVAL);
  }
  for (uint32_t action : {0x1234u, SECCOMP_RET_ERRNO | 1, 0x00020000u}) {
    EXPECT_ERR(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action), EOPNOTSUPP);
  }
  EXPECT_ERR(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, nullptr), EFAULT);
  seccomp_notif_sizes sizes = {};
  EXPECT_ERR(seccomp(SECCOMP_GET_NOTIF_SIZES, 1, &sizes), EINVAL);
  EXPECT_ERR(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, nullptr), EFAULT);
  EXPECT_OK(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
  EXPECT_EQ(sizes.seccomp_notif, 80);
  EXPECT_EQ(sizes.seccomp_notif_resp, 24);
  EXPECT_EQ(sizes.seccomp_data, 64);
}

TEST(Seccomp, ProcFilesShowIt) {
  EXPECT_EQ(proc_field("/proc/self/status", "Seccomp"), "0");
  EXPECT_EQ(proc_field("/proc/self/status", "Seccomp_filters"), "0");
  confine({verdict(SECCOMP_RET_ALLOW)});
  confine({verdict(SECCOMP_RET_LOG)});
  EXPECT_EQ(proc_field("/proc/self/status", "Seccomp"), "2");
  EXPECT_EQ(proc_field("/proc/self/status", "Seccomp_filters"), "2");
  EXPECT_EQ(read_file("/proc/sys/kernel/seccomp/actions_avail"),
            "kill_process kill_thread trap errno user_notif trace log allow\n");
}

TEST(Seccomp, LoggedActionsCanBeChosen) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  const char* path = "/proc/sys/kernel/seccomp/actions_logged";
  const std::string before = read_file(path);
  const UniqueFd fd(MUST(open(path, O_WRONLY)));
  auto put = [&](std::string_view text) { return pwrite(fd.get(), text.data(), text.size(), 0); };
  EXPECT_GT(put("trap kill_thread"), 0);
  EXPECT_EQ(read_file(path), "kill_thread trap\n");
  EXPECT_ERR(put("allow"), EINVAL);
  EXPECT_ERR(put("trap nonsense"), EINVAL);
  EXPECT_EQ(read_file(path), "kill_thread trap\n");
  EXPECT_GT(put(before), 0);
  EXPECT_EQ(read_file(path), before);
}

TEST(Seccomp, ForkInheritsAndExecKeeps) {
  confine(on_call(SYS_getppid, SECCOMP_RET_ERRNO | EREMOTE));
  EXPECT_EXITED(run_child([] {
                  EXPECT_ERR(syscall(SYS_getppid), EREMOTE);
                  EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
                  confine(on_call(SYS_getpid, SECCOMP_RET_ERRNO | EREMOTE));
                  EXPECT_ERR(syscall(SYS_getpid), EREMOTE);
                }),
                0);
  EXPECT_EQ(syscall(SYS_getpid), getpid());
  const pid_t pid = fork();
  if (pid == 0) {
    // The kill comes before the program's own end.
    confine(on_call(SYS_exit_group, SECCOMP_RET_KILL_PROCESS));
    execl("/proc/self/exe", "test", "--list", nullptr);
    _exit(99);
  }
  EXPECT_KILLED(wait_for(pid), SIGSYS);
}

// What libc finds in the vDSO is not a call.
TEST(Seccomp, ClocksAndTheProcessorsNumberNeedNoCall) {
  for (long nr : {SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_time, SYS_getcpu}) {
    confine(on_call(nr, SECCOMP_RET_ERRNO | EREMOTE));
  }
  for (clockid_t clock : {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                          CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_TAI}) {
    timespec now = {}, resolution = {};
    EXPECT_OK(clock_gettime(clock, &now));
    EXPECT_GT(now.tv_sec, 0);
    EXPECT_OK(clock_getres(clock, &resolution));
    EXPECT_EQ(resolution.tv_sec, 0);
    EXPECT_GT(resolution.tv_nsec, 0);
  }
  EXPECT_OK(clock_getres(CLOCK_MONOTONIC, nullptr));
  timeval now = {};
  EXPECT_OK(gettimeofday(&now, nullptr));
  unsigned cpu = ~0u, node = ~0u;
  EXPECT_OK(getcpu(&cpu, &node));
  EXPECT_LT(cpu, 4096u);
  EXPECT_LT(node, 1024u);
  timespec used;
  EXPECT_ERR(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), EREMOTE);
}

// The legacy page, where calls do not come from a system call instruction.
long vsyscall_time() { return reinterpret_cast<long (*)(long*)>(0xffffffffff600400)(nullptr); }
bool has_vsyscalls() {
  return WIFEXITED(run_child([] { vsyscall_time(); }));
}

TEST(Seccomp, VsyscallsAreJudged) {
  if (!has_vsyscalls()) SKIP("no vsyscall page");
  EXPECT_EXITED(run_child([] {
                  confine(on_call(SYS_time, SECCOMP_RET_ALLOW));
                  EXPECT_GT(vsyscall_time(), 1'000'000);
                  confine(on_call(SYS_time, SECCOMP_RET_ERRNO | EBADE));
                  EXPECT_EQ(vsyscall_time(), -EBADE);
                }),
                0);
  EXPECT_EXITED(run_child([] {
                  confine(on_call(SYS_time, SECCOMP_RET_TRACE));
                  EXPECT_EQ(vsyscall_time(), -ENOSYS);
                  handle_signal_info(SIGSYS, on_sigsys);
                  confine(on_call(SYS_time, SECCOMP_RET_TRAP | 9));
                  EXPECT_EQ(vsyscall_time(), 4242);
                  EXPECT_EQ(reinterpret_cast<uintptr_t>(seen_info.si_call_addr),
                            0xffffffffff600400);
                  EXPECT_EQ(seen_rax, SYS_time);
                  EXPECT_EQ(seen_info.si_syscall, SYS_time);
                }),
                0);
  EXPECT_KILLED(run_child([] {
                  confine(on_call(SYS_time, SECCOMP_RET_KILL_PROCESS));
                  vsyscall_time();
                }),
                SIGSYS);
}

}  // namespace
