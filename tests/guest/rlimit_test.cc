// getrlimit(2), setrlimit(2), prlimit(2), and that the limits are enforced.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

void set_limit(__rlimit_resource resource, rlim_t soft) {
  rlimit limit;
  MUST(getrlimit(resource, &limit));
  limit.rlim_cur = soft;
  MUST(setrlimit(resource, &limit));
}

TEST(Rlimit, SoftMayMoveBelowHard) {
  rlimit before, limit;
  MUST(getrlimit(RLIMIT_CORE, &before));
  limit = {0, before.rlim_max};
  EXPECT_OK(setrlimit(RLIMIT_CORE, &limit));
  MUST(getrlimit(RLIMIT_CORE, &limit));
  EXPECT_EQ(limit.rlim_cur, 0u);
  EXPECT_EQ(limit.rlim_max, before.rlim_max);
}

TEST(Rlimit, Errors) {
  rlimit limit = {2, 1};
  EXPECT_ERR(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
  EXPECT_ERR(syscall(SYS_getrlimit, 99, &limit), EINVAL);
  EXPECT_ERR(syscall(SYS_getrlimit, RLIMIT_CORE, 8), EFAULT);
  EXPECT_ERR(prlimit(1 << 22, RLIMIT_CORE, nullptr, &limit), ESRCH);
}

TEST(Rlimit, HardNeedsPrivilegeToRise) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  rlimit limit = {10, 10};
                  EXPECT_OK(setrlimit(RLIMIT_NOFILE, &limit));
                  limit = {11, 11};
                  EXPECT_ERR(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
                  limit = {5, 10};
                  EXPECT_OK(setrlimit(RLIMIT_NOFILE, &limit));
                }),
                0);
}

TEST(Rlimit, AreInherited) {
  set_limit(RLIMIT_NOFILE, 77);
  EXPECT_EXITED(run_child([] {
                  rlimit limit;
                  MUST(getrlimit(RLIMIT_NOFILE, &limit));
                  EXPECT_EQ(limit.rlim_cur, 77u);
                }),
                0);
}

TEST(Rlimit, PrlimitOnAChild) {
  pid_t pid = fork_child([] { pause(); });
  rlimit limit = {33, 44}, before = {}, now = {};
  EXPECT_OK(prlimit(pid, RLIMIT_NOFILE, &limit, &before));
  EXPECT_OK(prlimit(pid, RLIMIT_NOFILE, nullptr, &now));
  EXPECT_EQ(now.rlim_cur, 33u);
  EXPECT_EQ(now.rlim_max, 44u);
  EXPECT_NE(before.rlim_cur, 33u);
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Rlimit, ShownInProc) {
  set_limit(RLIMIT_NOFILE, 123);
  std::string limits = read_file("/proc/self/limits");
  size_t at = limits.find("Max open files");
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(atoi(limits.c_str() + at + 26), 123);
}

TEST(Nofile, OpenDupPipeSocketAreRefused) {
  set_limit(RLIMIT_NOFILE, 10);
  int last = -1;
  for (int fd; (fd = open("/dev/null", O_RDONLY)) >= 0;) last = fd;
  EXPECT_EQ(errno, EMFILE);
  EXPECT_EQ(last, 9);
  EXPECT_ERR(dup(0), EMFILE);
  EXPECT_ERR(dup2(0, 10), EBADF);
  EXPECT_ERR(fcntl(0, F_DUPFD, 10), EINVAL);
  EXPECT_ERR(fcntl(0, F_DUPFD, 3), EMFILE);
  int fds[2];
  EXPECT_ERR(pipe(fds), EMFILE);
  close(9);
  EXPECT_ERR(pipe(fds), EMFILE);
  EXPECT_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), EMFILE);
  // A call that failed halfway left nothing behind.
  EXPECT_EQ(open("/dev/null", O_RDONLY), 9);
}

TEST(Nofile, OpenOnesAboveTheLimitStay) {
  int high = MUST(fcntl(0, F_DUPFD, 50));
  set_limit(RLIMIT_NOFILE, 10);
  EXPECT_OK(fcntl(high, F_GETFD));
}

TEST(AddressSpace, MmapAndBrkAreRefused) {
  int status = run_child([] {
    set_limit(RLIMIT_AS, 64 << 20);
    EXPECT_ERR(mmap(nullptr, 128 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    EXPECT_OK(mmap(nullptr, 8 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    void* now = sbrk(0);
    EXPECT_ERR(sbrk(128 << 20), ENOMEM);
    EXPECT_EQ(sbrk(0), now);
  });
  EXPECT_EXITED(status, 0);
}

TEST(AddressSpace, MremapIsRefused) {
  int status = run_child([] {
    void* area = MUST(mmap(nullptr, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    set_limit(RLIMIT_AS, 64 << 20);
    EXPECT_ERR(mremap(area, 1 << 20, 128 << 20, MREMAP_MAYMOVE), ENOMEM);
  });
  EXPECT_EXITED(status, 0);
}

TEST(Data, BrkAndPrivateWritableMappings) {
  int status = run_child([] {
    set_limit(RLIMIT_DATA, 16 << 20);
    EXPECT_ERR(sbrk(32 << 20), ENOMEM);
    EXPECT_ERR(mmap(nullptr, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
               ENOMEM);
    EXPECT_OK(mmap(nullptr, 32 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  });
  EXPECT_EXITED(status, 0);
}

TEST(Fsize, WriteBeyondIsSigxfsz) {
  int status = run_child([] {
    set_limit(RLIMIT_FSIZE, 1000);
    UniqueFd fd(MUST(open("f", O_RDWR | O_CREAT, 0600)));
    char block[600] = {};
    EXPECT_EQ(write(fd.get(), block, 600), 600);
    EXPECT_EQ(write(fd.get(), block, 600), 400);  // As much as fits.
    [[maybe_unused]] ssize_t n = write(fd.get(), block, 600);
  });
  EXPECT_KILLED(status, SIGXFSZ);
}

TEST(Fsize, IgnoredSignalIsEfbig) {
  handle_signal(SIGXFSZ, SIG_IGN);
  set_limit(RLIMIT_FSIZE, 1000);
  UniqueFd fd(MUST(open("f", O_RDWR | O_CREAT, 0600)));
  EXPECT_ERR(pwrite(fd.get(), "x", 1, 1000), EFBIG);
  EXPECT_ERR(ftruncate(fd.get(), 1001), EFBIG);
  EXPECT_OK(ftruncate(fd.get(), 1000));
}

TEST(Nproc, ForkIsRefusedForAnOrdinaryUser) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  set_limit(RLIMIT_NPROC, 0);
                  EXPECT_ERR(fork(), EAGAIN);
                }),
                0);
}

volatile char g_sink;

// Uses about `bytes` of stack.
__attribute__((noinline)) void use_stack(long bytes) {
  volatile char block[4096];
  block[0] = static_cast<char>(bytes);
  if (bytes > 4096) use_stack(bytes - 4096);
  g_sink = block[0];
}

TEST(Stack, OverflowIsASegfault) {
  int status = run_child([] {
    set_limit(RLIMIT_STACK, 512 * 1024);
    use_stack(4 << 20);
  });
  EXPECT_KILLED(status, SIGSEGV);
}

TEST(Stack, GrowsUpToItsLimit) {
  int status = run_child([] {
    set_limit(RLIMIT_STACK, 4 << 20);
    use_stack(3 << 20);
  });
  EXPECT_EXITED(status, 0);
}

TEST(Cpu, LimitSendsSigxcpu) {
  int status = run_child([] {
    rlimit limit = {1, 2};
    // What has been used counts too, so the limit is the next full second.
    MUST(setrlimit(RLIMIT_CPU, &limit));
    for (;;) g_sink = 1;
  });
  EXPECT_KILLED(status, SIGXCPU);
}

TEST(Rlimit, CpuTimeOfAChildIsLimitedAnew) {
  EXPECT_EXITED(run_child([] {
                  rlimit limit{1, 2};
                  MUST(setrlimit(RLIMIT_CPU, &limit));
                  const int status = run_child([] {
                    for (;;) g_sink = 1;
                  });
                  EXPECT_KILLED(status, SIGXCPU);
                  EXPECT_EXITED(run_child([] {}), 0);
                }),
                0);
}

TEST(Sigpending, QueueIsLimited) {
  set_limit(RLIMIT_SIGPENDING, 5);
  block_signal(SIGRTMIN);
  int queued = 0;
  while (queued < 100 && sigqueue(getpid(), SIGRTMIN, {}) == 0) ++queued;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_LE(queued, 5);
}

TEST(Nice, LowersAndIsInherited) {
  int before = getpriority(PRIO_PROCESS, 0);
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, before + 1));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), before + 1);
  EXPECT_EXITED(run_child([&] { EXPECT_EQ(getpriority(PRIO_PROCESS, 0), before + 1); }), 0);
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, 100));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
  EXPECT_ERR(setpriority(77, 0, 0), EINVAL);
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(setpriority(PRIO_PROCESS, 0, 0), EACCES);
                }),
                0);
}

}  // namespace
