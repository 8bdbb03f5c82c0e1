// Signal dispositions, masks and delivery: sigaction(2), sigprocmask(2), kill(2), tgkill(2).
#include <sys/prctl.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

volatile sig_atomic_t g_count;
volatile sig_atomic_t g_last;
char g_order[64];

void count(int signal) {
  g_last = signal;
  ++g_count;
}

void record(int signal) {
  size_t n = strlen(g_order);
  g_order[n] = static_cast<char>(signal == SIGUSR1 ? '1' : signal == SIGUSR2 ? '2' : 'x');
}

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  return set;
}

TEST(Signal, HandlerRuns) {
  handle_signal(SIGUSR1, count);
  EXPECT_OK(raise(SIGUSR1));
  EXPECT_EQ(g_count, 1);
  EXPECT_EQ(g_last, SIGUSR1);
}

TEST(Signal, All64CanBeCaughtButTwo) {
  for (int signal = 1; signal <= 64; ++signal) {
    struct {
      void (*handler)(int);
      unsigned long flags;
      void (*restorer)();
      unsigned long mask;
    } action = {};
    long result = syscall(SYS_rt_sigaction, signal, &action, nullptr, 8);
    bool fixed = signal == SIGKILL || signal == SIGSTOP;
    EXPECT_EQ(result, fixed ? -1 : 0);
  }
  EXPECT_ERR(syscall(SYS_rt_sigaction, 0, nullptr, nullptr, 8), EINVAL);
  EXPECT_ERR(syscall(SYS_rt_sigaction, 65, nullptr, nullptr, 8), EINVAL);
  EXPECT_ERR(syscall(SYS_rt_sigaction, 1, nullptr, nullptr, 4), EINVAL);
  EXPECT_ERR(syscall(SYS_rt_sigaction, 1, 8, nullptr, 8), EFAULT);
}

TEST(Signal, All64AreDelivered) {
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal == SIGKILL || signal == SIGSTOP || signal == 32 || signal == 33) continue;
    handle_signal(signal, count);
    g_last = 0;
    EXPECT_OK(kill(getpid(), signal));
    EXPECT_EQ(g_last, signal);
  }
}

TEST(Signal, OldActionIsReturned) {
  handle_signal(SIGUSR1, count, SA_RESTART | SA_NODEFER);
  struct sigaction old = {};
  EXPECT_OK(sigaction(SIGUSR1, nullptr, &old));
  EXPECT_TRUE(old.sa_handler == count);
  EXPECT_EQ(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO), SA_RESTART | SA_NODEFER);
}

TEST(Signal, DefaultActionsOfEach) {
  struct {
    int signal;
    char action;  // T terminates, I is ignored, S stops
  } cases[] = {{SIGHUP, 'T'},   {SIGINT, 'T'},  {SIGQUIT, 'T'}, {SIGILL, 'T'},    {SIGTRAP, 'T'},
               {SIGABRT, 'T'},  {SIGBUS, 'T'},  {SIGFPE, 'T'},  {SIGUSR1, 'T'},   {SIGSEGV, 'T'},
               {SIGUSR2, 'T'},  {SIGPIPE, 'T'}, {SIGALRM, 'T'}, {SIGTERM, 'T'},   {SIGSTKFLT, 'T'},
               {SIGCHLD, 'I'},  {SIGCONT, 'I'}, {SIGTSTP, 'S'}, {SIGTTIN, 'S'},   {SIGTTOU, 'S'},
               {SIGURG, 'I'},   {SIGXCPU, 'T'}, {SIGXFSZ, 'T'}, {SIGVTALRM, 'T'}, {SIGPROF, 'T'},
               {SIGWINCH, 'I'}, {SIGIO, 'T'},   {SIGPWR, 'T'},  {SIGSYS, 'T'},    {SIGRTMIN, 'T'},
               {SIGRTMAX, 'T'}, {SIGSTOP, 'S'}, {SIGKILL, 'T'}};
  for (auto [signal, action] : cases) {
    pid_t pid = fork_child([signal = signal] {
      prctl(PR_SET_DUMPABLE, 0);
      raise(signal);
    });
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
    char got = WIFSIGNALED(status) ? 'T' : WIFSTOPPED(status) ? 'S' : 'I';
    if (got != action) fail(__FILE__, __LINE__, std::string(strsignal(signal)) + " did " + got);
    if (got == 'T') EXPECT_EQ(WTERMSIG(status), signal);
    if (got == 'S') {
      MUST(kill(pid, SIGKILL));
      wait_for(pid);
    }
  }
}

TEST(Signal, IgnoredDoesNothing) {
  handle_signal(SIGTERM, SIG_IGN);
  EXPECT_OK(raise(SIGTERM));
}

TEST(Signal, BlockedStaysPending) {
  handle_signal(SIGUSR1, count);
  block_signal(SIGUSR1);
  raise(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_EQ(g_count, 0);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_TRUE(sigismember(&pending, SIGUSR1));
  unblock_signal(SIGUSR1);
  EXPECT_EQ(g_count, 1);  // Standard signals do not queue.
}

TEST(Signal, KillAndStopCannotBeBlocked) {
  sigset_t all, now;
  sigfillset(&all);
  EXPECT_OK(sigprocmask(SIG_SETMASK, &all, nullptr));
  EXPECT_OK(sigprocmask(SIG_SETMASK, nullptr, &now));
  EXPECT_FALSE(sigismember(&now, SIGKILL));
  EXPECT_FALSE(sigismember(&now, SIGSTOP));
  EXPECT_TRUE(sigismember(&now, SIGUSR1));
  EXPECT_ERR(sigprocmask(99, &all, nullptr), EINVAL);
}

TEST(Signal, IgnoringDiscardsPending) {
  block_signal(SIGUSR1);
  raise(SIGUSR1);
  handle_signal(SIGUSR1, SIG_IGN);
  handle_signal(SIGUSR1, count);
  unblock_signal(SIGUSR1);
  EXPECT_EQ(g_count, 0);
}

TEST(Signal, HandlerBlocksItself) {
  handle_signal(SIGUSR1, [](int) {
    if (++g_count == 1) {
      raise(SIGUSR1);
      g_last = g_count;  // Still one: the second waits for our return.
    }
  });
  raise(SIGUSR1);
  EXPECT_EQ(g_last, 1);
  EXPECT_EQ(g_count, 2);
}

TEST(Signal, NodeferNests) {
  handle_signal(
      SIGUSR1,
      [](int) {
        if (++g_count == 1) {
          raise(SIGUSR1);
          g_last = g_count;
        }
      },
      SA_NODEFER);
  raise(SIGUSR1);
  EXPECT_EQ(g_last, 2);
}

TEST(Signal, ResethandIsForOnce) {
  handle_signal(SIGUSR1, count, SA_RESETHAND);
  raise(SIGUSR1);
  struct sigaction now;
  sigaction(SIGUSR1, nullptr, &now);
  EXPECT_TRUE(now.sa_handler == SIG_DFL);
  EXPECT_EQ(g_count, 1);
}

TEST(Signal, MaskOfTheActionHolds) {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    raise(SIGUSR2);
    strcat(g_order, "1");
  };
  sigaddset(&action.sa_mask, SIGUSR2);
  MUST(sigaction(SIGUSR1, &action, nullptr));
  handle_signal(SIGUSR2, record);
  raise(SIGUSR1);
  EXPECT_EQ(std::string(g_order), "12");
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_FALSE(sigismember(&mask, SIGUSR2));
}

TEST(Signal, PendingAreDeliveredLowestFirst) {
  // The frames stack up, so the lowest number's handler runs last; with a mask they run in turn.
  struct sigaction action = {};
  action.sa_handler = record;
  sigfillset(&action.sa_mask);
  MUST(sigaction(SIGUSR1, &action, nullptr));
  MUST(sigaction(SIGUSR2, &action, nullptr));
  sigset_t both = set_of({SIGUSR1, SIGUSR2});
  sigprocmask(SIG_BLOCK, &both, nullptr);
  raise(SIGUSR2);
  raise(SIGUSR1);
  sigprocmask(SIG_UNBLOCK, &both, nullptr);
  EXPECT_EQ(std::string(g_order), "12");
}

TEST(Signal, KillErrors) {
  EXPECT_ERR(kill(getpid(), 65), EINVAL);
  EXPECT_ERR(kill(getpid(), -1), EINVAL);
  EXPECT_OK(kill(getpid(), 0));
  EXPECT_ERR(kill(1 << 22, 0), ESRCH);
  EXPECT_ERR(tgkill(getpid(), 1 << 22, 0), ESRCH);
  EXPECT_ERR(tgkill(0, gettid(), 0), EINVAL);
  EXPECT_ERR(tgkill(getpid(), -1, 0), EINVAL);
  EXPECT_ERR(syscall(SYS_tkill, 0, 0), EINVAL);
}

TEST(Signal, TgkillReachesThatThread) {
  static volatile pid_t receiver;
  handle_signal(SIGUSR1, [](int) { receiver = gettid(); });
  Thread thread([] {
    while (receiver == 0) usleep(500);
  });
  EXPECT_OK(tgkill(getpid(), thread.tid(), SIGUSR1));
  thread.join();
  EXPECT_EQ(receiver, thread.tid());
}

TEST(Signal, ProcessSignalGoesToAThreadThatWantsIt) {
  static volatile pid_t receiver;
  handle_signal(SIGUSR1, [](int) { receiver = gettid(); });
  Thread thread([] {
    while (receiver == 0) usleep(500);
  });
  thread.tid();
  block_signal(SIGUSR1);
  EXPECT_OK(kill(getpid(), SIGUSR1));
  thread.join();
  EXPECT_EQ(receiver, thread.tid());
}

TEST(Signal, SigcontResumesAndDiscardsStops) {
  pid_t pid = fork_child([] {
    for (;;) pause();
  });
  MUST(kill(pid, SIGSTOP));
  wait_for_state(pid, "T");
  MUST(kill(pid, SIGTSTP));
  MUST(kill(pid, SIGCONT));
  wait_for_state(pid, "S");
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Signal, KillEndsAStoppedProcess) {
  pid_t pid = fork_child([] { raise(SIGSTOP); });
  wait_for_state(pid, "T");
  MUST(kill(pid, SIGTERM));  // Waits for SIGCONT.
  usleep(5000);
  EXPECT_EQ(waitpid(pid, nullptr, WNOHANG), 0);
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Signal, SiginfoOfKill) {
  static volatile int code, pid;
  handle_signal_info(SIGUSR1, [](int, siginfo_t* info, void*) {
    code = info->si_code;
    pid = info->si_pid;
  });
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(code, SI_USER);
  EXPECT_EQ(pid, getpid());
  raise(SIGUSR1);
  EXPECT_EQ(code, SI_TKILL);
}

TEST(Signal, StatusShowsMasks) {
  block_signal(SIGUSR1);
  handle_signal(SIGUSR2, SIG_IGN);
  handle_signal(SIGHUP, count);
  raise(SIGUSR1);
  auto bits = [](const char* name) {
    return strtoull(proc_field("/proc/self/status", name).c_str(), nullptr, 16);
  };
  EXPECT_TRUE(bits("SigBlk") >> (SIGUSR1 - 1) & 1);
  EXPECT_TRUE(bits("SigIgn") >> (SIGUSR2 - 1) & 1);
  EXPECT_TRUE(bits("SigCgt") >> (SIGHUP - 1) & 1);
  EXPECT_TRUE((bits("SigPnd") | bits("ShdPnd")) >> (SIGUSR1 - 1) & 1);
}

TEST(Signal, SigreturnRestoresRegisters) {
  handle_signal(SIGUSR1, [](int) {
    asm volatile("xor %%ebx, %%ebx; xor %%r12d, %%r12d" ::: "rbx", "r12");
    volatile double x = 3;
    x = x * x;
  });
  long rbx = 0x1234, r12 = 0x5678, result = SYS_tkill;
  double value = 1.5;
  asm volatile("syscall"
               : "+a"(result), "+b"(rbx)
               : "D"(gettid()), "S"(SIGUSR1)
               : "rcx", "r11", "memory");
  asm volatile("" : "+r"(r12));
  EXPECT_EQ(result, 0);
  EXPECT_EQ(rbx, 0x1234);
  EXPECT_EQ(r12, 0x5678);
  EXPECT_TRUE(value == 1.5);
}

TEST(Signal, ContextMayBeChanged) {
  static volatile int reached;
  handle_signal_info(SIGUSR1, [](int, siginfo_t*, void* context) {
    auto* registers = static_cast<ucontext_t*>(context);
    registers->uc_mcontext.gregs[REG_RAX] = 4711;
    reached = 1;
  });
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(SYS_tkill), "D"(gettid()), "S"(SIGUSR1)
               : "rcx", "r11", "memory");
  EXPECT_EQ(reached, 1);
  EXPECT_EQ(result, 4711);
}

TEST(Signal, MaskInTheContextIsRestored) {
  handle_signal_info(SIGUSR1, [](int, siginfo_t*, void* context) {
    sigaddset(&static_cast<ucontext_t*>(context)->uc_sigmask, SIGUSR2);
  });
  raise(SIGUSR1);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGUSR2));
}

}  // namespace
