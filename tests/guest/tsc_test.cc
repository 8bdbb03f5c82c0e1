// The time stamp counter and who may read it: PR_SET_TSC of prctl(2), strict mode of seccomp(2).
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "harness.h"

namespace {

using guest::run_child;

sigjmp_buf jump;
siginfo_t last;

void on_fault(int, siginfo_t* info, void*) {
  last = *info;
  siglongjmp(jump, 1);
}

// Whether it could be read.
bool reads() {
  struct sigaction action = {}, before;
  action.sa_sigaction = on_fault, action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &before);
  const bool faulted = sigsetjmp(jump, 1);
  if (!faulted) (void)__builtin_ia32_rdtsc();
  sigaction(SIGSEGV, &before, nullptr);
  return !faulted;
}

int mode() {
  int v = -1;
  return prctl(PR_GET_TSC, &v) ? -1 : v;
}

TEST(Tsc, MayBeRead) {
  EXPECT_EQ(mode(), PR_TSC_ENABLE);
  EXPECT_TRUE(reads());
  EXPECT_ERR(prctl(PR_SET_TSC, 0), EINVAL);
  EXPECT_ERR(prctl(PR_SET_TSC, 3), EINVAL);
  EXPECT_ERR(prctl(PR_GET_TSC, 1), EFAULT);
}

TEST(Tsc, IsTakenAndGivenBack) {
  ASSERT_OK(prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
  EXPECT_EQ(mode(), PR_TSC_SIGSEGV);
  EXPECT_FALSE(reads());
  EXPECT_EQ(last.si_code, SI_KERNEL);
  EXPECT_EQ(last.si_addr, nullptr);
  // What waits, and what is answered at once, goes on as ever.
  for (int i = 0; i < guest::rounds(1000); i++) ASSERT_EQ(syscall(SYS_getpid), getpid());
  for (int i = 0; i < 3; i++) usleep(1000);
  ASSERT_OK(prctl(PR_SET_TSC, PR_TSC_ENABLE));
  EXPECT_EQ(mode(), PR_TSC_ENABLE);
  EXPECT_TRUE(reads());
}

TEST(Tsc, IsTheThreadsOwnAndInherited) {
  std::thread([] {
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
    std::thread([] {
      EXPECT_EQ(mode(), PR_TSC_SIGSEGV);
      EXPECT_FALSE(reads());
      EXPECT_OK(prctl(PR_SET_TSC, PR_TSC_ENABLE));
      EXPECT_TRUE(reads());
    }).join();
    EXPECT_FALSE(reads());
    EXPECT_EXITED(run_child([] {
                    if (mode() != PR_TSC_SIGSEGV || reads()) _exit(1);
                    prctl(PR_SET_TSC, PR_TSC_ENABLE);
                    _exit(reads() ? 0 : 2);
                  }),
                  0);
    EXPECT_FALSE(reads());
  }).join();
  EXPECT_TRUE(reads());
  // A thread that comes after one that had none.
  std::thread([] { EXPECT_TRUE(reads()); }).join();
}

// Programs of libc read it before main().
TEST(Tsc, StaysTakenOverExec) {
  const int fd = memfd_create("program", 0);
  // rdtsc; exit_group(3).
  static const unsigned char kCode[] = {0x0f, 0x31, 0xbf, 3, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 5};
  struct {
    unsigned char ident[16] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    uint16_t type = 2, machine = 62;
    uint32_t version = 1;
    uint64_t entry = 0x400078, phoff = 64, shoff = 0;
    uint32_t flags = 0;
    uint16_t ehsize = 64, phentsize = 56, phnum = 1, shentsize = 0, shnum = 0, shstrndx = 0;
    uint32_t ptype = 1, pflags = 5;
    uint64_t offset = 0, vaddr = 0x400000, paddr = 0, filesz = 0x1000, memsz = 0x1000,
             align = 0x1000;
  } header;
  static_assert(sizeof header == 0x78);
  ASSERT_EQ(pwrite(fd, &header, sizeof header, 0), ssize_t(sizeof header));
  ASSERT_EQ(pwrite(fd, kCode, sizeof kCode, sizeof header), ssize_t(sizeof kCode));
  ASSERT_OK(ftruncate(fd, 0x1000));
  char empty[] = "";
  char* none[] = {empty, nullptr};
  for (bool taken : {false, true}) {
    const int status = run_child([&] {
      if (taken) prctl(PR_SET_TSC, PR_TSC_SIGSEGV);
      syscall(SYS_execveat, fd, "", none, none + 1, 0x1000 /* AT_EMPTY_PATH */);
      _exit(9);
    });
    taken ? EXPECT_KILLED(status, SIGSEGV) : EXPECT_EXITED(status, 3);
  }
  close(fd);
}

TEST(Tsc, StrictModeTakesIt) {
  EXPECT_EXITED(run_child([] {
                  struct sigaction action = {};
                  action.sa_handler = [](int) { syscall(SYS_exit, 7); };
                  sigaction(SIGSEGV, &action, nullptr);
                  ASSERT_OK(prctl(PR_SET_SECCOMP, 1 /* SECCOMP_MODE_STRICT */));
                  char c = 'x';
                  if (write(STDERR_FILENO, &c, 0)) syscall(SYS_exit, 1);
                  (void)__builtin_ia32_rdtsc();
                  syscall(SYS_getpid);
                }),
                7);
}

}  // namespace
