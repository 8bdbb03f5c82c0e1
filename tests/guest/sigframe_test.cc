// The floating point state in a signal frame: what rt_sigreturn(2) takes back, and what it refuses.
#include <setjmp.h>
#include <sys/ucontext.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

constexpr size_t kSoftware = 464, kHeader = 512;
constexpr uint32_t kOwnMxcsr = 0x9f80, kInitialMxcsr = 0x1f80;

void (*g_change)(ucontext_t*);

std::byte* fpu_of(ucontext_t* c) { return reinterpret_cast<std::byte*>(c->uc_mcontext.fpregs); }

void on_signal(int, siginfo_t*, void* context) {
  // Handlers may use these registers as they like.
  double other = 7;
  __asm__ volatile("movsd %0, %%xmm7" : : "m"(other) : "xmm7");
  if (g_change) g_change(static_cast<ucontext_t*>(context));
}

struct Seen {
  double xmm7;
  uint32_t mxcsr;
};

// Goes through a handler that changes its frame by `change`.
Seen through_handler(void (*change)(ucontext_t*)) {
  g_change = change;
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &action, nullptr);
  double value = 1.5;
  Seen seen{};
  long pid = getpid();
  __asm__ volatile(
      "ldmxcsr %[mxcsr]\n\tmovsd %[value], %%xmm7\n\t"
      "mov $62, %%eax\n\tsyscall\n\t"  // kill(pid, SIGUSR1)
      "movsd %%xmm7, %[xmm7]\n\tstmxcsr %[seen]"
      : [xmm7] "=m"(seen.xmm7), [seen] "=m"(seen.mxcsr)
      : [mxcsr] "m"(kOwnMxcsr), [value] "m"(value), "D"(pid), "S"(long{SIGUSR1})
      : "rax", "rcx", "r11", "xmm7", "memory");
  return seen;
}

TEST(SignalFrame, KeepsVectorRegisters) {
  for (int i = 0; i < 20; ++i) {
    const Seen seen = through_handler(nullptr);
    EXPECT_TRUE(seen.xmm7 == 1.5);
    EXPECT_EQ(seen.mxcsr, kOwnMxcsr);
  }
}

TEST(SignalFrame, IsExtendedAndAligned) {
  static uint32_t magic, end, size;
  static uint64_t features, address;
  through_handler([](ucontext_t* c) {
    std::byte* fpu = fpu_of(c);
    address = reinterpret_cast<uint64_t>(fpu);
    memcpy(&magic, fpu + kSoftware, 4);
    memcpy(&features, fpu + kSoftware + 8, 8);
    memcpy(&size, fpu + kSoftware + 16, 4);
    memcpy(&end, fpu + size, 4);
  });
  EXPECT_EQ(magic, 0x46505853u);
  EXPECT_EQ(end, 0x46505845u);
  EXPECT_EQ(address % 64, 0u);
  EXPECT_EQ(features & 3, 3u);
}

TEST(SignalFrame, TakesBackWhatTheHandlerChanged) {
  const Seen seen = through_handler([](ucontext_t* c) {
    double changed = 2.5;
    memcpy(fpu_of(c) + 160 + 7 * 16, &changed, sizeof changed);
  });
  EXPECT_TRUE(seen.xmm7 == 2.5);
}

TEST(SignalFrame, WithoutStateLoadsTheInitialOne) {
  const Seen seen = through_handler([](ucontext_t* c) { c->uc_mcontext.fpregs = nullptr; });
  EXPECT_TRUE(seen.xmm7 == 0);
  EXPECT_EQ(seen.mxcsr, kInitialMxcsr);
}

TEST(SignalFrame, WithoutMagicIsLegacy) {
  const Seen seen = through_handler([](ucontext_t* c) { memset(fpu_of(c) + kSoftware, 0, 48); });
  EXPECT_TRUE(seen.xmm7 == 1.5);
  EXPECT_EQ(seen.mxcsr, kOwnMxcsr);
}

// Each of these ends the process by SIGSEGV.
void expect_refused(void (*change)(ucontext_t*)) {
  const pid_t pid = fork();
  if (pid == 0) {
    signal(SIGSEGV, SIG_DFL);
    through_handler(change);
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(SignalFrame, RefusesUnknownFeatures) {
  expect_refused([](ucontext_t* c) { fpu_of(c)[kHeader + 7] = std::byte{0x40}; });
}
TEST(SignalFrame, RefusesReservedMxcsrBits) {
  expect_refused([](ucontext_t* c) { fpu_of(c)[27] = std::byte{0xff}; });
}
TEST(SignalFrame, RefusesUnalignedState) {
  expect_refused(
      [](ucontext_t* c) { c->uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(fpu_of(c) + 8); });
}
TEST(SignalFrame, RefusesStateOutsideMemory) {
  expect_refused([](ucontext_t* c) { c->uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(64); });
}
TEST(SignalFrame, RefusesNonCanonicalAddress) {
  expect_refused([](ucontext_t* c) { c->uc_mcontext.gregs[REG_RIP] = 1ll << 62; });
}

TEST(SignalFrame, RefusedOneMayBeCaughtOnAnotherStack) {
  static sigjmp_buf back;
  static char stack[65536];
  stack_t other = {};
  other.ss_sp = stack;
  other.ss_size = sizeof stack;
  sigaltstack(&other, nullptr);
  struct sigaction action = {};
  action.sa_handler = [](int) { siglongjmp(back, 1); };
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  bool caught = false;
  if (sigsetjmp(back, 1) == 0) {
    through_handler(
        [](ucontext_t* c) { c->uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(64); });
  } else {
    caught = true;
  }
  EXPECT_TRUE(caught);
}

TEST(SignalFrame, ReturnToNoAddressFaultsThere) {
  static sigjmp_buf back;
  static greg_t where;
  handle_signal_info(SIGSEGV, [](int, siginfo_t*, void* context) {
    where = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
    siglongjmp(back, 1);
  });
  if (sigsetjmp(back, 1) == 0) {
    through_handler([](ucontext_t* c) { c->uc_mcontext.gregs[REG_RIP] = 1ll << 47; });
  }
  EXPECT_EQ(where, 1ll << 47);
}

}  // namespace
