// fork(2), vfork(2): what parent and child share and what they do not.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

TEST(Fork, ChildHasItsOwnIdAndParent) {
  pid_t parent = getpid();
  EXPECT_EXITED(run_child([&] {
                  EXPECT_NE(getpid(), parent);
                  EXPECT_EQ(getppid(), parent);
                  EXPECT_EQ(gettid(), getpid());
                }),
                0);
}

TEST(Fork, PrivateMemoryIsCopied) {
  volatile int value = 1;
  EXPECT_EXITED(run_child([&] {
                  EXPECT_EQ(value, 1);
                  value = 2;
                }),
                0);
  EXPECT_EQ(value, 1);
}

TEST(Fork, ParentWritesAreNotSeenByTheChild) {
  int fds[2];
  MUST(pipe(fds));
  volatile int value = 1;
  pid_t pid = fork_child([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
    EXPECT_EQ(value, 1);
  });
  value = 2;
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Fork, SharedMappingIsShared) {
  auto* value = static_cast<volatile int*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
  EXPECT_EXITED(run_child([&] { *value = 7; }), 0);
  EXPECT_EQ(*value, 7);
}

TEST(Fork, FileOffsetIsShared) {
  write_file("f", "abcdef");
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  char byte;
  EXPECT_EQ(read(fd.get(), &byte, 1), 1);
  EXPECT_EXITED(run_child([&] {
                  char two[2];
                  EXPECT_EQ(read(fd.get(), two, 2), 2);
                  EXPECT_EQ(two[0], 'b');
                }),
                0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 3);
}

TEST(Fork, DescriptorTableIsCopied) {
  UniqueFd fd(MUST(open("/dev/null", O_RDONLY)));
  EXPECT_EXITED(run_child([&] { close(fd.get()); }), 0);
  EXPECT_OK(fcntl(fd.get(), F_GETFD));
}

TEST(Fork, WorkingDirectoryAndUmaskAreCopied) {
  MUST(mkdir("d", 0755));
  umask(022);
  EXPECT_EXITED(run_child([&] {
                  EXPECT_OK(chdir("d"));
                  EXPECT_EQ(umask(077), 022u);
                }),
                0);
  EXPECT_EQ(umask(022), 022u);
  EXPECT_OK(access("d", F_OK));
}

TEST(Fork, PendingSignalsAreNotInherited) {
  block_signal(SIGUSR1);
  MUST(raise(SIGUSR1));
  EXPECT_EXITED(run_child([] {
                  sigset_t pending;
                  EXPECT_OK(sigpending(&pending));
                  EXPECT_FALSE(sigismember(&pending, SIGUSR1));
                  sigset_t mask;
                  sigprocmask(SIG_BLOCK, nullptr, &mask);
                  EXPECT_TRUE(sigismember(&mask, SIGUSR1));
                }),
                0);
}

TEST(Fork, DispositionsAreInherited) {
  handle_signal(SIGUSR1, SIG_IGN);
  EXPECT_EXITED(run_child([] {
                  struct sigaction action;
                  EXPECT_OK(sigaction(SIGUSR1, nullptr, &action));
                  EXPECT_TRUE(action.sa_handler == SIG_IGN);
                  EXPECT_OK(raise(SIGUSR1));
                }),
                0);
}

TEST(Fork, AlarmIsNotInherited) {
  alarm(100);
  EXPECT_EXITED(run_child([] { EXPECT_EQ(alarm(0), 0u); }), 0);
  EXPECT_GT(alarm(0), 0u);
}

TEST(Fork, OnlyTheCallingThreadGoesOn) {
  int fds[2];
  MUST(pipe(fds));
  Thread other([&] {
    char byte;
    [[maybe_unused]] ssize_t n = read(fds[0], &byte, 1);
  });
  other.tid();
  EXPECT_EXITED(run_child([] { EXPECT_EQ(proc_field("/proc/self/status", "Threads"), "1"); }), 0);
  EXPECT_EQ(proc_field("/proc/self/status", "Threads"), "2");
  EXPECT_EQ(write(fds[1], "x", 1), 1);
}

TEST(Fork, ForkInAThread) {
  Thread thread([] { EXPECT_EXITED(run_child([] { EXPECT_EQ(gettid(), getpid()); }), 0); });
}

TEST(Fork, ParentDeathSignalIsCleared) {
  MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1));
  EXPECT_EXITED(run_child([] {
                  int signal = -1;
                  EXPECT_OK(prctl(PR_GET_PDEATHSIG, &signal));
                  EXPECT_EQ(signal, 0);
                }),
                0);
}

TEST(Fork, ManyGenerations) {
  // Each generation forks the next; the exit code counts them back.
  int depth = 0;
  pid_t pid;
  while (depth < 20 && (pid = MUST(fork())) == 0) ++depth;
  int code = 0;
  if (depth < 20) code = WEXITSTATUS(wait_for(pid)) + 1;
  if (depth > 0) _exit(code);
  EXPECT_EQ(code, 20);
}

TEST(Fork, ManyChildrenAtOnce) {
  pid_t pids[50];
  for (int i = 0; i < 50; ++i) pids[i] = fork_child([i] { _exit(i); });
  for (int i = 49; i >= 0; --i) EXPECT_EXITED(wait_for(pids[i]), i);
  EXPECT_ERR(waitpid(-1, nullptr, 0), ECHILD);
}

TEST(Fork, MadvDontforkIsLeftOut) {
  char* page = static_cast<char*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  MUST(madvise(page, 4096, MADV_DONTFORK));
  EXPECT_EXITED(run_child([&] { EXPECT_ERR(msync(page, 4096, MS_ASYNC), ENOMEM); }), 0);
  EXPECT_OK(msync(page, 4096, MS_ASYNC));
}

TEST(Fork, MadvWipeonforkIsZero) {
  char* page = static_cast<char*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  page[0] = 'x';
  MUST(madvise(page, 4096, MADV_WIPEONFORK));
  EXPECT_EXITED(run_child([&] { EXPECT_EQ(page[0], 0); }), 0);
  EXPECT_EQ(page[0], 'x');
}

volatile int g_vfork_value;

TEST(Vfork, SharesMemoryAndSuspendsTheParent) {
  g_vfork_value = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    usleep(20000);
    g_vfork_value = 5;
    _exit(3);
  }
  EXPECT_EQ(g_vfork_value, 5);
  EXPECT_EXITED(wait_for(pid), 3);
}

TEST(Vfork, ParentGoesOnAfterExec) {
  pid_t pid = vfork();
  if (pid == 0) {
    execl("/proc/self/exe", "guest", "--list", "-f", "no such case", nullptr);
    _exit(99);
  }
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Vfork, ParentGoesOnWhenTheChildIsKilled) {
  pid_t pid = vfork();
  if (pid == 0) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    _exit(99);
  }
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Vfork, FailedExecReturnsToTheChild) {
  pid_t pid = vfork();
  if (pid == 0) {
    execl("./does-not-exist", "x", nullptr);
    _exit(errno == ENOENT ? 0 : 1);
  }
  EXPECT_EXITED(wait_for(pid), 0);
}

}  // namespace
