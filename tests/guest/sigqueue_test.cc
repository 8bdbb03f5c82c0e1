// Queued signals: rt_sigqueueinfo(2), sigtimedwait(2), sigsuspend(2), sigaltstack(2).
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

char g_order[64];
volatile sig_atomic_t g_count;

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  return set;
}

int queue_raw(pid_t pid, int signal, siginfo_t* info) {
  return static_cast<int>(syscall(SYS_rt_sigqueueinfo, pid, signal, info));
}

TEST(Sigqueue, ValueArrives) {
  static volatile int value, code;
  handle_signal_info(SIGUSR1, [](int, siginfo_t* info, void*) {
    value = info->si_value.sival_int;
    code = info->si_code;
  });
  sigval sent;
  sent.sival_int = 1234;
  EXPECT_OK(sigqueue(getpid(), SIGUSR1, sent));
  EXPECT_EQ(value, 1234);
  EXPECT_EQ(code, SI_QUEUE);
}

TEST(Sigqueue, RealtimeSignalsQueueInOrder) {
  handle_signal_info(SIGRTMIN, [](int, siginfo_t* info, void*) {
    g_order[strlen(g_order)] = static_cast<char>('a' + info->si_value.sival_int);
  });
  block_signal(SIGRTMIN);
  for (int i = 0; i < 5; ++i) {
    sigval value;
    value.sival_int = i;
    EXPECT_OK(sigqueue(getpid(), SIGRTMIN, value));
  }
  unblock_signal(SIGRTMIN);
  EXPECT_EQ(std::string(g_order), "abcde");
}

TEST(Sigqueue, StandardSignalsKeepTheFirst) {
  block_signal(SIGUSR1);
  for (int i = 7; i < 10; ++i) {
    sigval value;
    value.sival_int = i;
    EXPECT_OK(sigqueue(getpid(), SIGUSR1, value));
  }
  sigset_t set = set_of({SIGUSR1});
  siginfo_t info;
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGUSR1);
  EXPECT_EQ(info.si_value.sival_int, 7);
  timespec none = {};
  EXPECT_ERR(sigtimedwait(&set, &info, &none), EAGAIN);
}

TEST(Sigqueue, LowerNumbersFirst) {
  sigset_t set = set_of({SIGRTMIN, SIGRTMIN + 1, SIGUSR1});
  sigprocmask(SIG_BLOCK, &set, nullptr);
  sigqueue(getpid(), SIGRTMIN + 1, {});
  sigqueue(getpid(), SIGRTMIN, {});
  sigqueue(getpid(), SIGUSR1, {});
  siginfo_t info;
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGUSR1);
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
}

TEST(Sigqueue, KernelCodesMayNotBeForged) {
  pid_t pid = fork_child([] { pause(); });
  siginfo_t info = {};
  info.si_code = SI_USER;
  EXPECT_ERR(queue_raw(pid, SIGUSR1, &info), EPERM);
  info.si_code = SI_TKILL;
  EXPECT_ERR(queue_raw(pid, SIGUSR1, &info), EPERM);
  info.si_code = SI_QUEUE;
  EXPECT_OK(queue_raw(pid, SIGKILL, &info));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
  info.si_code = SI_USER;  // To oneself, anything goes.
  handle_signal(SIGUSR1, [](int) {});
  EXPECT_OK(queue_raw(getpid(), SIGUSR1, &info));
}

TEST(Sigqueue, ToAThread) {
  static volatile pid_t receiver;
  handle_signal_info(SIGUSR1, [](int, siginfo_t* info, void*) {
    if (info->si_value.sival_int == 5) receiver = gettid();
  });
  Thread thread([] {
    while (receiver == 0) usleep(500);
  });
  siginfo_t info = {};
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 5;
  EXPECT_OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), thread.tid(), SIGUSR1, &info));
  thread.join();
  EXPECT_EQ(receiver, thread.tid());
}

TEST(Sigtimedwait, TimesOut) {
  sigset_t set = set_of({SIGUSR1});
  block_signal(SIGUSR1);
  timespec limit = ms_to_timespec(20);
  int64_t start = now_ms();
  EXPECT_ERR(sigtimedwait(&set, nullptr, &limit), EAGAIN);
  EXPECT_GE(now_ms() - start, 19);
  limit.tv_nsec = -1;
  EXPECT_ERR(sigtimedwait(&set, nullptr, &limit), EINVAL);
}

TEST(Sigtimedwait, WokenByTheSignal) {
  sigset_t set = set_of({SIGUSR1});
  block_signal(SIGUSR1);
  pid_t self = gettid();
  Thread sender([&] {
    wait_until_blocked(self);
    tgkill(getpid(), self, SIGUSR1);
  });
  siginfo_t info = {};
  // glibc's wrapper would say SI_USER.
  EXPECT_EQ(syscall(SYS_rt_sigtimedwait, &set, &info, nullptr, 8), SIGUSR1);
  EXPECT_EQ(info.si_code, SI_TKILL);
  EXPECT_EQ(info.si_pid, getpid());
}

TEST(Sigtimedwait, OtherSignalInterrupts) {
  handle_signal(SIGALRM, [](int) {});
  sigset_t set = set_of({SIGUSR1});
  block_signal(SIGUSR1);
  ualarm(10000, 0);
  EXPECT_ERR(sigwaitinfo(&set, nullptr), EINTR);
}

TEST(Sigtimedwait, KillAndStopAreLeftOut) {
  sigset_t set = set_of({SIGKILL, SIGSTOP});
  timespec none = {};
  EXPECT_ERR(sigtimedwait(&set, nullptr, &none), EAGAIN);
}

TEST(Sigsuspend, SwapsTheMask) {
  handle_signal(SIGUSR1, [](int) { g_count = g_count + 1; });
  block_signal(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_EQ(g_count, 0);
  sigset_t none;
  sigemptyset(&none);
  EXPECT_ERR(sigsuspend(&none), EINTR);
  EXPECT_EQ(g_count, 1);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_TRUE(sigismember(&mask, SIGUSR1));
}

TEST(Sigsuspend, HandlerSeesTheTemporaryMask) {
  static volatile int blocked = -1;
  handle_signal(SIGUSR1, [](int) {
    sigset_t mask;
    sigprocmask(SIG_BLOCK, nullptr, &mask);
    blocked = sigismember(&mask, SIGHUP);
  });
  block_signal(SIGUSR1);
  raise(SIGUSR1);
  sigset_t only_hup = set_of({SIGHUP});
  sigsuspend(&only_hup);
  EXPECT_EQ(blocked, 1);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_FALSE(sigismember(&mask, SIGHUP));
}

TEST(Pause, ReturnsEintr) {
  handle_signal(SIGALRM, [](int) {}, SA_RESTART);
  ualarm(10000, 0);
  EXPECT_ERR(pause(), EINTR);
}

constexpr size_t kAltSize = 64 * 1024;
char* g_alt;

bool on_alt(const void* address) {
  auto* at = static_cast<const char*>(address);
  return at >= g_alt && at < g_alt + kAltSize;
}

void use_alt_stack(int flags = 0) {
  g_alt = static_cast<char*>(
      MUST(mmap(nullptr, kAltSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  stack_t stack = {g_alt, flags, kAltSize};
  MUST(sigaltstack(&stack, nullptr));
}

TEST(Altstack, HandlerRunsOnIt) {
  static volatile bool was_on, flag_on;
  use_alt_stack();
  handle_signal(
      SIGUSR1,
      [](int) {
        int local;
        was_on = on_alt(&local);
        stack_t now;
        sigaltstack(nullptr, &now);
        flag_on = now.ss_flags == SS_ONSTACK;
      },
      SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_TRUE(was_on);
  EXPECT_TRUE(flag_on);
  stack_t now;
  sigaltstack(nullptr, &now);
  EXPECT_EQ(now.ss_flags, 0);
  EXPECT_EQ(now.ss_size, kAltSize);
}

TEST(Altstack, OnlyWithOnstack) {
  static volatile bool was_on;
  use_alt_stack();
  handle_signal(SIGUSR1, [](int) {
    int local;
    was_on = on_alt(&local);
  });
  raise(SIGUSR1);
  EXPECT_FALSE(was_on);
}

TEST(Altstack, CannotChangeWhileOnIt) {
  static volatile int error;
  use_alt_stack();
  handle_signal(
      SIGUSR1,
      [](int) {
        stack_t stack = {g_alt, 0, kAltSize};
        error = sigaltstack(&stack, nullptr) == -1 ? errno : 0;
      },
      SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_EQ(error, EPERM);
}

TEST(Altstack, Errors) {
  stack_t stack = {g_alt, 0, 100};
  EXPECT_ERR(sigaltstack(&stack, nullptr), ENOMEM);
  stack = {g_alt, 77, kAltSize};
  EXPECT_ERR(sigaltstack(&stack, nullptr), EINVAL);
  EXPECT_ERR(syscall(SYS_sigaltstack, 8, nullptr), EFAULT);
}

TEST(Altstack, DisableAndClearedInThreads) {
  use_alt_stack();
  Thread thread([] {
    stack_t now;
    sigaltstack(nullptr, &now);
    EXPECT_EQ(now.ss_flags, SS_DISABLE);
  });
  thread.join();
  EXPECT_EXITED(run_child([] {
                  stack_t now;
                  sigaltstack(nullptr, &now);
                  EXPECT_EQ(now.ss_flags, 0);
                }),
                0);
  stack_t off = {nullptr, SS_DISABLE, 0}, now;
  EXPECT_OK(sigaltstack(&off, nullptr));
  sigaltstack(nullptr, &now);
  EXPECT_EQ(now.ss_flags, SS_DISABLE);
}

TEST(Altstack, AutodisarmForgetsItInTheHandler) {
  static volatile int flags;
  use_alt_stack(static_cast<int>(1u << 31));  // SS_AUTODISARM
  handle_signal(
      SIGUSR1,
      [](int) {
        stack_t now;
        sigaltstack(nullptr, &now);
        flags = now.ss_flags;
      },
      SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_EQ(flags, SS_DISABLE);
  stack_t now;
  sigaltstack(nullptr, &now);
  EXPECT_EQ(now.ss_size, kAltSize);
}

}  // namespace
