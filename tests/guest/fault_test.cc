// Faults: the signal, its si_code and si_addr, and recovery from a handler.
#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

sigjmp_buf g_back;
volatile int g_signal, g_code;
void* volatile g_address;
volatile long g_error_code, g_trap;

void note(int signal, siginfo_t* info, void* context) {
  g_signal = signal;
  g_code = info->si_code;
  g_address = info->si_addr;
  auto* registers = static_cast<ucontext_t*>(context);
  g_error_code = registers->uc_mcontext.gregs[REG_ERR];
  g_trap = registers->uc_mcontext.gregs[REG_TRAPNO];
  siglongjmp(g_back, 1);
}

// Runs `body`, which faults, and notes what the handler was told.
template <class F>
void catch_fault(F body) {
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) handle_signal_info(signal, note);
  g_signal = 0;
  if (sigsetjmp(g_back, 1) == 0) body();
}

char* map_page(int protection) {
  return static_cast<char*>(
      MUST(mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
}

TEST(Fault, UnmappedIsMaperr) {
  char* page = map_page(PROT_READ);
  MUST(munmap(page, 4096));
  catch_fault([&] { *static_cast<volatile char*>(page + 5) = 1; });
  EXPECT_EQ(g_signal, SIGSEGV);
  EXPECT_EQ(g_code, SEGV_MAPERR);
  EXPECT_TRUE(g_address == page + 5);
  EXPECT_EQ(g_trap, 14);
  EXPECT_EQ(g_error_code & 6, 6);  // A write, by user code.
}

TEST(Fault, NullPointer) {
  catch_fault([] { *static_cast<volatile int*>(nullptr) = 1; });
  EXPECT_EQ(g_signal, SIGSEGV);
  EXPECT_EQ(g_code, SEGV_MAPERR);
  EXPECT_TRUE(g_address == nullptr);
}

TEST(Fault, WriteToReadOnlyIsAccerr) {
  char* page = map_page(PROT_READ);
  catch_fault([&] { *static_cast<volatile char*>(page) = 1; });
  EXPECT_EQ(g_signal, SIGSEGV);
  EXPECT_EQ(g_code, SEGV_ACCERR);
  EXPECT_TRUE(g_address == page);
}

TEST(Fault, ReadOfNoneIsAccerr) {
  char* page = map_page(PROT_NONE);
  catch_fault([&] { (void)*static_cast<volatile char*>(page); });
  EXPECT_EQ(g_code, SEGV_ACCERR);
}

TEST(Fault, ExecuteOfDataIsAccerr) {
  char* page = map_page(PROT_READ | PROT_WRITE);
  page[0] = '\xc3';
  catch_fault([&] { reinterpret_cast<void (*)()>(page)(); });
  EXPECT_EQ(g_signal, SIGSEGV);
  EXPECT_EQ(g_code, SEGV_ACCERR);
  EXPECT_TRUE(g_address == page);
}

TEST(Fault, NonCanonicalIsKernelCode) {
  catch_fault([] { (void)*reinterpret_cast<volatile char*>(0x1234567812345678); });
  EXPECT_EQ(g_signal, SIGSEGV);
  EXPECT_EQ(g_code, SI_KERNEL);
  EXPECT_TRUE(g_address == nullptr);
}

TEST(Fault, BeyondTheEndOfAFileIsSigbus) {
  UniqueFd fd(MUST(open("f", O_RDWR | O_CREAT, 0600)));
  MUST(ftruncate(fd.get(), 100));
  char* area = static_cast<char*>(
      MUST(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0)));
  area[4095] = 1;  // The rest of the last page is there.
  catch_fault([&] { *static_cast<volatile char*>(area + 4096) = 1; });
  EXPECT_EQ(g_signal, SIGBUS);
  EXPECT_EQ(g_code, BUS_ADRERR);
  EXPECT_TRUE(g_address == area + 4096);
}

TEST(Fault, TruncatedUnderAMappingIsSigbus) {
  UniqueFd fd(MUST(open("f", O_RDWR | O_CREAT, 0600)));
  MUST(ftruncate(fd.get(), 8192));
  char* area = static_cast<char*>(
      MUST(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0)));
  area[5000] = 1;
  MUST(ftruncate(fd.get(), 10));
  catch_fault([&] { (void)*static_cast<volatile char*>(area + 5000); });
  EXPECT_EQ(g_signal, SIGBUS);
}

TEST(Fault, DivisionByZero) {
  volatile int zero = 0;
  catch_fault([&] {
    volatile int x = 100 / zero;
    (void)x;
  });
  EXPECT_EQ(g_signal, SIGFPE);
  EXPECT_EQ(g_code, FPE_INTDIV);
  EXPECT_TRUE(g_address != nullptr);
}

TEST(Fault, IllegalInstruction) {
  catch_fault([] { asm volatile("ud2"); });
  EXPECT_EQ(g_signal, SIGILL);
  EXPECT_EQ(g_code, ILL_ILLOPN);
  EXPECT_TRUE(g_address != nullptr);
}

TEST(Fault, PrivilegedInstructionIsSegv) {
  catch_fault([] { asm volatile("hlt"); });
  EXPECT_EQ(g_signal, SIGSEGV);
  EXPECT_EQ(g_code, SI_KERNEL);
}

TEST(Fault, BreakpointIsSigtrap) {
  catch_fault([] { asm volatile("int3"); });
  EXPECT_EQ(g_signal, SIGTRAP);
  EXPECT_EQ(g_code, SI_KERNEL);
}

TEST(Fault, SingleStepIsTrapTrace) {
  catch_fault([] {
    asm volatile("pushfq; orl $0x100, (%%rsp); popfq; nop; nop" ::: "cc", "memory");
  });
  EXPECT_EQ(g_signal, SIGTRAP);
  EXPECT_EQ(g_code, TRAP_TRACE);
}

TEST(Fault, SseException) {
  catch_fault([] {
    unsigned mxcsr = 0x1f80 & ~0x200u;  // Division by zero is not masked.
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
    volatile double zero = 0;
    volatile double x = 1 / zero;
    (void)x;
  });
  unsigned mxcsr = 0x1f80;
  asm volatile("ldmxcsr %0" ::"m"(mxcsr));
  EXPECT_EQ(g_signal, SIGFPE);
  EXPECT_EQ(g_code, FPE_FLTDIV);
}

TEST(Fault, HandlerMayRepair) {
  static char* page;
  page = map_page(PROT_NONE);
  handle_signal_info(SIGSEGV, [](int, siginfo_t*, void*) {
    g_signal = g_signal + 1;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
  });
  g_signal = 0;
  *static_cast<volatile char*>(page) = 7;
  EXPECT_EQ(g_signal, 1);
  EXPECT_EQ(page[0], 7);
}

TEST(Fault, HandlerMaySkipTheInstruction) {
  handle_signal_info(SIGILL, [](int, siginfo_t*, void* context) {
    static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 2;
  });
  volatile int after = 0;
  asm volatile("ud2");
  after = 1;
  EXPECT_EQ(after, 1);
}

TEST(Fault, BlockedFaultKills) {
  int status = run_child([] {
    handle_signal(SIGSEGV, [](int) {});
    block_signal(SIGSEGV);
    *static_cast<volatile int*>(nullptr) = 1;
  });
  EXPECT_KILLED(status, SIGSEGV);
}

TEST(Fault, IgnoredFaultKills) {
  int status = run_child([] {
    handle_signal(SIGSEGV, SIG_IGN);
    *static_cast<volatile int*>(nullptr) = 1;
  });
  EXPECT_KILLED(status, SIGSEGV);
}

TEST(Fault, NoRoomForTheFrameKills) {
  int status = run_child([] {
    handle_signal(SIGUSR1, [](int) {});
    asm volatile("mov %0, %%rdi; mov %1, %%esi; mov %2, %%eax; mov $8, %%rsp; syscall; ud2"
                 :
                 : "r"(static_cast<long>(gettid())), "i"(SIGUSR1), "i"(SYS_tkill)
                 : "rdi", "rsi", "rax", "memory");
  });
  EXPECT_KILLED(status, SIGSEGV);
}

TEST(Fault, BadSigreturnFrameKills) {
  int status = run_child([] {
    asm volatile("mov $8, %%rsp; mov %0, %%eax; syscall; ud2" ::"i"(SYS_rt_sigreturn) : "rax");
  });
  EXPECT_KILLED(status, SIGSEGV);
}

TEST(Fault, StackOverflowIsHandledOnTheAltStack) {
  int status = run_child([] {
    static char alt[65536];
    stack_t stack = {alt, 0, sizeof alt};
    MUST(sigaltstack(&stack, nullptr));
    handle_signal(SIGSEGV, [](int) { _exit(23); }, SA_ONSTACK);
    struct Recursion {
      static int down(volatile char* above) {
        volatile char block[4096];
        block[0] = above[0];
        return down(block) + block[0];
      }
    };
    volatile char start[1] = {1};
    _exit(Recursion::down(start));
  });
  EXPECT_EXITED(status, 23);
}

TEST(Fault, KernelTellsEfaultNotASignal) {
  int fds[2];
  MUST(pipe(fds));
  EXPECT_ERR(write(fds[1], reinterpret_cast<void*>(8), 1), EFAULT);
  char* page = map_page(PROT_READ);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_ERR(read(fds[0], page, 1), EFAULT);
  char byte = 0;
  EXPECT_EQ(read(fds[0], &byte, 1), 1);  // Nothing was lost.
}

TEST(Fault, PartlyBadBufferIsAShortCount) {
  char* pages = static_cast<char*>(
      MUST(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  MUST(munmap(pages + 4096, 4096));
  write_file("f", std::string(100, 'x'));
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  ssize_t n = read(fd.get(), pages + 4096 - 10, 100);
  EXPECT_TRUE(n == 10 || (n == -1 && errno == EFAULT));
}

TEST(Fault, InAThreadGoesToThatThread) {
  static volatile pid_t handled;
  handle_signal_info(SIGSEGV, [](int, siginfo_t*, void*) {
    handled = gettid();
    siglongjmp(g_back, 1);
  });
  Thread thread([] {
    if (sigsetjmp(g_back, 1) == 0) *static_cast<volatile int*>(nullptr) = 1;
  });
  thread.join();
  EXPECT_EQ(handled, thread.tid());
}

}  // namespace
