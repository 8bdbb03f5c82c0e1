#include "tests/guest/history/tracee.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace history {
namespace {

constexpr int kMaxDepth = 2;
constexpr int kSignals[] = {SIGUSR1, SIGUSR2, SIGCHLD, SIGCONT, SIGSTOP,
                            SIGTSTP, SIGURG,  SIGTERM, 34};

// No library between the seed and the kernel: its calls would depend on more than the seed.
long call(long nr, long a = 0, long b = 0, long c = 0, long d = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}

void handler(int) {}

struct Action {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  unsigned long mask;
};
extern "C" void history_restorer();
__asm__(".globl history_restorer\nhistory_restorer: mov $15, %eax\n syscall\n hlt\n");

int any_signal(Random& r) { return kSignals[r.below(sizeof kSignals / sizeof *kSignals)]; }

void set_action(Random& r) {
  Action a{};
  const uint32_t how = r.below(3);
  a.handler = how == 0 ? SIG_DFL : how == 1 ? SIG_IGN : handler;
  a.flags = 0x04000000 | (r.one_in(2) ? SA_RESTART : 0) | (r.one_in(4) ? SA_RESETHAND : 0);
  a.restorer = history_restorer;
  call(SYS_rt_sigaction, any_signal(r), long(&a), 0, 8);
}

void send_self(Random& r) { call(SYS_tkill, call(SYS_gettid), any_signal(r)); }

void set_mask(Random& r) {
  unsigned long set = 0;
  for (int i = 0; i < 2; i++) set |= 1ul << (any_signal(r) - 1);
  call(SYS_rt_sigprocmask, r.below(2), long(&set), 0, 8);
}

void fork_one(Random& r, int depth) {
  const uint64_t seed = r.next();
  const long child = call(SYS_fork);
  if (child == 0) run_tracee(seed, depth + 1);
  int status;
  if (child > 0) call(SYS_wait4, child, long(&status), __WALL);
}

[[gnu::noinline]] void vfork_one(Random& r) {
  const pid_t child = vfork();
  while (child == 0) call(SYS_exit_group, 7);  // The tracer may have it skipped.
  r.next();
  int status;
  if (child > 0) call(SYS_wait4, child, long(&status), __WALL);
}

void filter_calls(Random& r) {
  const uint32_t verdicts[] = {SECCOMP_RET_TRACE | (r.next() & 0xffff), SECCOMP_RET_ERRNO | 7,
                               SECCOMP_RET_TRAP | 5, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS};
  const uint32_t first = verdicts[r.below(4)], second = verdicts[r.below(5)];
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 2, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, first),
      BPF_STMT(BPF_RET | BPF_K, second),
  };
  sock_fprog program{sizeof code / sizeof *code, code};
  call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1);
  call(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, long(&program));
}

void exec_again(Random& r, int depth) {
  char seed[32], level[16];
  snprintf(seed, sizeof seed, "%u", r.next());
  snprintf(level, sizeof level, "%d", depth + 1);
  const char* argv[] = {"history", "--tracee", seed, level, nullptr};
  const char* envp[] = {nullptr};
  call(SYS_execve, long("/proc/self/exe"), long(argv), long(envp));
}

void act(Random& r, int depth) {
  switch (r.below(14)) {
    case 0: call(SYS_getpgid, 0); break;
    case 1: call(SYS_getpriority, 0, 0); break;
    case 2:
    case 3: send_self(r); break;
    case 4: set_action(r); break;
    case 5: set_mask(r); break;
    case 6:
      if (depth < kMaxDepth) fork_one(r, depth);
      break;
    case 7: vfork_one(r); break;
    case 8: __asm__ volatile("int3"); break;
    case 9: call(100000); break;
    case 10: filter_calls(r); break;
    case 11:
      if (depth < kMaxDepth && r.one_in(2)) exec_again(r, depth);
      break;
    case 12:
      if (r.one_in(4)) *reinterpret_cast<volatile int*>(16) = 1;
      break;
    case 13: call(SYS_kill, call(SYS_getpid), any_signal(r)); break;
  }
}

}  // namespace

void run_tracee(uint64_t seed, int depth) {
  Random r(seed);
  const uint32_t count = 3 + r.below(8);
  for (uint32_t i = 0; i < count; i++) act(r, depth);
  for (;;) call(SYS_exit_group, r.below(256));
}

}  // namespace history
