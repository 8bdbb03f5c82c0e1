// System calls from hot places: a platform may change how those reach the kernel, and no program
// may notice. Jumps into the middle of the code, single steps, signals and threads at the same
// place.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/ucontext.h>

#include "tests/guest/harness.h"

// Each a function of its own with labels: long f(long nr or unused).
extern "C" {
long site_number(long);      // mov $nr, %eax; syscall
long site_compare(long);     // syscall; cmp $imm, %rax with the number in rdi
long compare_at_call(long);  // Enters there at the call instruction,
long compare_at_cmp(long);   // and here after it.
extern const char site_number_call[], site_compare_call[], site_compare_cmp[], site_compare_end[];
}
__asm__(
    ".text\n"
    ".globl site_number, site_number_call\n"
    "site_number: mov $110, %eax\n"  // getppid
    "site_number_call: syscall\n"
    "ret\n"
    ".globl site_compare, site_compare_call, site_compare_cmp, site_compare_end\n"
    ".globl compare_at_call, compare_at_cmp\n"
    "site_compare: mov %rdi, %rax\n"
    "site_compare_call: syscall\n"
    "site_compare_cmp: cmp $0xfffffffffffff000, %rax\n"
    "ja 1f\n"
    "ret\n"
    "1: neg %rax\n"
    "or $0x10000, %rax\n"
    "ret\n"
    "site_compare_end:\n"
    "compare_at_call: mov %rdi, %rax\n"
    "jmp site_compare_call\n"
    "compare_at_cmp: mov %rdi, %rax\n"
    "jmp site_compare_cmp\n");

namespace {

using namespace guest;

constexpr int kHot = 300;

void make_hot() {
  for (int i = 0; i < rounds(kHot); ++i) {
    site_number(0);
    site_compare(SYS_getppid);
  }
}

TEST(CallSite, HotSitesAnswerAlike) {
  const long parent = getppid();
  for (int i = 0; i < rounds(kHot); ++i) {
    ASSERT_EQ(site_number(0), parent);
    ASSERT_EQ(site_compare(SYS_getppid), parent);
  }
  EXPECT_EQ(site_compare(1'000'000), 0x10000 | ENOSYS);
  EXPECT_EQ(site_compare(SYS_getpid), getpid());
}

TEST(CallSite, JumpsIntoTheMiddle) {
  make_hot();
  const long parent = getppid();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(compare_at_call(SYS_getppid), parent);
    EXPECT_EQ(compare_at_cmp(17), 17);
    EXPECT_EQ(compare_at_cmp(-ENOENT), 0x10000 | ENOENT);
    long result;
    __asm__ volatile("mov $39, %%eax\n\tcall site_number_call"
                     : "=a"(result)
                     :
                     : "rcx", "r11", "memory");
    EXPECT_EQ(result, getpid());
  }
}

TEST(CallSite, CodeReadsAsItWas) {
  make_hot();
  int fd = open("/proc/self/mem", O_RDONLY);
  unsigned char code[2];
  EXPECT_EQ(pread(fd, code, 2, reinterpret_cast<off_t>(site_compare_call)), 2);
  EXPECT_EQ(code[0], 0x0f);
  EXPECT_EQ(code[1], 0x05);
  EXPECT_EQ(pread(fd, code, 2, reinterpret_cast<off_t>(site_compare_cmp)), 2);
  EXPECT_EQ(code[0], 0x48);
  EXPECT_EQ(code[1], 0x3d);
}

TEST(CallSite, ForkedChildrenGoOn) {
  make_hot();
  for (int i = 0; i < 3; ++i) {
    const long me = getpid();
    const pid_t child = fork();
    if (child == 0) {
      bool good = compare_at_cmp(5) == 5;
      for (int j = 0; j < rounds(kHot); ++j) {
        good = good && site_compare(SYS_getppid) == me && site_number(0) == me;
      }
      _exit(good ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
}

// --- Single steps.
volatile long g_steps, g_outside;
bool is_foreign(uint64_t ip) { return ip >= 0x7fffd0000000 && ip < 0x7fffd8000000; }

void on_step(int, siginfo_t*, void* context) {
  ++g_steps;
  const uint64_t ip = uint64_t(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  if (is_foreign(ip)) ++g_outside;
}

long stepped(long (*call)(long), long argument) {
  long result;
  __asm__ volatile(
      "pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
      "call *%[call]\n\t"
      "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq"
      : "=a"(result), "+D"(argument)
      : [call] "b"(call)
      : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
  return result;
}

TEST(CallSite, SingleStepsSeeEachInstruction) {
  make_hot();
  struct sigaction action = {};
  action.sa_sigaction = on_step;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, nullptr);
  const long parent = getppid();
  for (int i = 0; i < 5; ++i) {
    g_steps = 0;
    EXPECT_EQ(stepped(site_compare, SYS_getppid), parent);
    // call, mov, syscall, cmp, ja, ret, pushfq, andq, popfq: a kernel may skip the step of the
    // call.
    EXPECT_TRUE(g_steps >= 8 && g_steps <= 10);
    EXPECT_EQ(stepped(site_number, 0), parent);
  }
  EXPECT_EQ(g_outside, 0);
}

// --- Signals at any moment.
volatile sig_atomic_t g_alarms;
void on_alarm(int, siginfo_t*, void* context) {
  ++g_alarms;
  const uint64_t ip = uint64_t(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  if (is_foreign(ip)) ++g_outside;
}

TEST(CallSite, SignalsMeetTheProgramOnly) {
  struct sigaction action = {};
  action.sa_sigaction = on_alarm;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  itimerval often = {{0, 300}, {0, 300}};
  setitimer(ITIMER_REAL, &often, nullptr);
  const long parent = getppid();
  bool good = true;
  for (int i = 0; i < 2'000'000 && g_alarms < 300; ++i) {
    good = good && site_number(0) == parent && site_compare(SYS_getppid) == parent;
  }
  often = {};
  setitimer(ITIMER_REAL, &often, nullptr);
  EXPECT_TRUE(good);
  EXPECT_EQ(g_outside, 0);
  EXPECT_TRUE(g_alarms > 0);
}

// --- Threads: sites become hot while others run through them.
void* hammer(void* good) {
  const long parent = getppid();
  for (int i = 0; i < rounds(3000); ++i) {
    if (site_compare(SYS_getppid) != parent || site_number(0) != parent)
      *static_cast<bool*>(good) = false;
    if (compare_at_cmp(3) != 3) *static_cast<bool*>(good) = false;
  }
  return nullptr;
}

TEST(CallSite, ThreadsRunThroughThem) {
  pthread_t threads[6];
  bool good = true;
  for (pthread_t& t : threads) pthread_create(&t, nullptr, hammer, &good);
  for (pthread_t& t : threads) pthread_join(t, nullptr);
  EXPECT_TRUE(good);
}

TEST(CallSite, BlockedReadersGoOn) {
  int ends[2];
  EXPECT_OK(pipe(ends));
  pthread_t reader;
  void* (*body)(void*) = [](void* fd) -> void* {
    long sum = 0;
    char byte;
    while (read(int(reinterpret_cast<long>(fd)), &byte, 1) == 1) sum += byte;
    return reinterpret_cast<void*>(sum);
  };
  pthread_create(&reader, nullptr, body, reinterpret_cast<void*>(long{ends[0]}));
  const int bytes = rounds(1000);
  for (int i = 0; i < bytes; ++i) EXPECT_EQ(write(ends[1], "\1", 1), 1);
  close(ends[1]);
  void* sum;
  pthread_join(reader, &sum);
  EXPECT_EQ(reinterpret_cast<long>(sum), bytes);
}

// --- Code that is written anew.
TEST(CallSite, RewrittenCodeCounts) {
  make_hot();
  auto* page = reinterpret_cast<char*>(reinterpret_cast<uint64_t>(site_compare_call) & ~4095ul);
  EXPECT_OK(mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC));
  auto* call = const_cast<char*>(site_compare_call);
  EXPECT_EQ(static_cast<unsigned char>(call[0]), 0x0f);
  EXPECT_EQ(static_cast<unsigned char>(call[2]), 0x48);
  memcpy(call, "\x90\x90", 2);
  EXPECT_OK(mprotect(page, 8192, PROT_READ | PROT_EXEC));
  EXPECT_EQ(site_compare(1234), 1234);
}

}  // namespace
