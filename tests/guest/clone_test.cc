// clone(2), clone3(2): flags, their combinations, and what is shared.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <vector>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

constexpr size_t kStack = 64 * 1024;

char* new_stack() {
  return static_cast<char*>(MUST(mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0))) +
         kStack;
}

// A clone of the process as fork() makes it, with more flags.
pid_t fork_with(unsigned long flags, pid_t* parent_tid = nullptr, pid_t* child_tid = nullptr) {
  return static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, parent_tid, child_tid, 0));
}

pid_t clone3(clone_args& args) {
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
}

// Any number passes clone(2); of one that is no signal nobody is told.
TEST(Clone, TheSignalAtTheEndMayBeNone) {
  for (const unsigned long signal : {65ul, 100ul, 200ul, 255ul}) {
    const pid_t pid = MUST(fork_with(signal));
    if (pid == 0) _exit(7);
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, __WALL), pid);
    EXPECT_EXITED(status, 7);
  }
}

TEST(Clone, FilesAreShared) {
  int fd = MUST(open("/dev/null", O_RDONLY));
  pid_t pid = MUST(fork_with(CLONE_FILES | SIGCHLD));
  if (pid == 0) {
    close(fd);
    _exit(0);
  }
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_ERR(fcntl(fd, F_GETFD), EBADF);
}

TEST(Clone, FsIsShared) {
  MUST(mkdir("d", 0755));
  pid_t pid = MUST(fork_with(CLONE_FS | SIGCHLD));
  if (pid == 0) _exit(chdir("d") == 0 && umask(077) <= 0777 ? 0 : 1);
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_OK(access("../d", F_OK));
  EXPECT_EQ(umask(022), 077u);
}

int g_shared_value;

TEST(Clone, MemoryIsShared) {
  g_shared_value = 1;
  int (*body)(void*) = [](void*) {
    g_shared_value = 2;
    return 7;
  };
  pid_t pid = MUST(clone(body, new_stack(), CLONE_VM | SIGCHLD, nullptr));
  EXPECT_EXITED(wait_for(pid), 7);
  EXPECT_EQ(g_shared_value, 2);
}

TEST(Clone, ParentAndChildTid) {
  pid_t in_parent = 0, in_child = 0;
  pid_t pid =
      MUST(fork_with(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, &in_parent, &in_child));
  if (pid == 0) _exit(in_child == getpid() ? 0 : 1);
  EXPECT_EQ(in_parent, pid);
  EXPECT_EQ(in_child, 0);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Clone, SiblingHasOurParent) {
  int status = run_child([] {
    pid_t parent = getppid();
    pid_t pid = MUST(fork_with(CLONE_PARENT | SIGCHLD));
    if (pid == 0) _exit(getppid() == parent ? 0 : 1);
    EXPECT_ERR(waitpid(pid, nullptr, 0), ECHILD);
  });
  EXPECT_EXITED(status, 0);
  EXPECT_EXITED(wait_for(-1), 0);
}

TEST(Clone, NoExitSignalNeedsWclone) {
  pid_t pid = MUST(fork_with(0));
  if (pid == 0) _exit(3);
  EXPECT_ERR(waitpid(pid, nullptr, 0), ECHILD);
  int status;
  EXPECT_EQ(waitpid(pid, &status, __WCLONE), pid);
  EXPECT_EXITED(status, 3);
}

volatile sig_atomic_t g_got;

TEST(Clone, OtherExitSignalIsSent) {
  handle_signal(SIGUSR2, [](int) { g_got = 1; });
  pid_t pid = MUST(fork_with(SIGUSR2));
  if (pid == 0) _exit(0);
  int status;
  while (waitpid(pid, &status, __WALL) != pid) {
  }
  EXPECT_EQ(g_got, 1);
}

TEST(Clone, BadCombinations) {
  EXPECT_ERR(fork_with(CLONE_THREAD | SIGCHLD), EINVAL);
  EXPECT_ERR(fork_with(CLONE_SIGHAND | SIGCHLD), EINVAL);
  EXPECT_ERR(fork_with(CLONE_THREAD | CLONE_SIGHAND | SIGCHLD), EINVAL);
  EXPECT_ERR(fork_with(CLONE_NEWNS | CLONE_FS | SIGCHLD), EINVAL);
  EXPECT_ERR(fork_with(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD), EINVAL);
}

TEST(Clone, PidfdIsReturned) {
  int pidfd = -1;
  pid_t pid = MUST(fork_with(CLONE_PIDFD | SIGCHLD, &pidfd));
  if (pid == 0) _exit(4);
  EXPECT_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  siginfo_t info = {};
  EXPECT_OK(waitid(P_PIDFD, pidfd, &info, WEXITED));
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_EQ(info.si_status, 4);
}

TEST(Clone, BadTidPointerIsNotFatal) {
  // The id is stored after the child exists; a bad address is ignored.
  pid_t pid = fork_with(CLONE_PARENT_SETTID | SIGCHLD, reinterpret_cast<pid_t*>(8));
  if (pid == 0) _exit(0);
  EXPECT_GT(pid, 0);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Clone3, Works) {
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  pid_t pid = MUST(clone3(args));
  if (pid == 0) _exit(11);
  EXPECT_EXITED(wait_for(pid), 11);
}

TEST(Clone3, PidfdAndTids) {
  int pidfd = -1;
  pid_t in_parent = 0, in_child = 0;
  clone_args args = {};
  args.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID;
  args.pidfd = reinterpret_cast<uintptr_t>(&pidfd);
  args.parent_tid = reinterpret_cast<uintptr_t>(&in_parent);
  args.child_tid = reinterpret_cast<uintptr_t>(&in_child);
  args.exit_signal = SIGCHLD;
  pid_t pid = MUST(clone3(args));
  if (pid == 0) _exit(in_child == getpid() ? 0 : 1);
  EXPECT_EQ(in_parent, pid);
  EXPECT_GE(pidfd, 0);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Clone3, SizesAreChecked) {
  clone_args args = {};
  args.exit_signal = SIGCHLD;
  EXPECT_ERR(syscall(SYS_clone3, &args, 63), EINVAL);
  EXPECT_ERR(syscall(SYS_clone3, &args, 8192), E2BIG);
  EXPECT_ERR(syscall(SYS_clone3, 8, sizeof args), EFAULT);
  struct {
    clone_args args;
    uint64_t more;
  } longer = {};
  longer.args.exit_signal = SIGCHLD;
  longer.more = 1;
  EXPECT_ERR(syscall(SYS_clone3, &longer, sizeof longer), E2BIG);
  longer.more = 0;
  pid_t pid = MUST(static_cast<pid_t>(syscall(SYS_clone3, &longer, sizeof longer)));
  if (pid == 0) _exit(0);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Clone3, BadArguments) {
  clone_args args = {};
  args.exit_signal = 65;
  EXPECT_ERR(clone3(args), EINVAL);
  args = {};
  args.flags = SIGCHLD;  // The exit signal has a field of its own.
  EXPECT_ERR(clone3(args), EINVAL);
  args = {};
  args.exit_signal = SIGCHLD;
  args.stack = 4096;
  EXPECT_ERR(clone3(args), EINVAL);
  args = {};
  args.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  args.exit_signal = SIGCHLD;
  EXPECT_ERR(clone3(args), EINVAL);
  args = {};
  args.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM;
  EXPECT_ERR(clone3(args), EINVAL);
}

TEST(Clone3, ClearSighandResetsHandlers) {
  handle_signal(SIGUSR1, [](int) {});
  handle_signal(SIGUSR2, SIG_IGN);
  clone_args args = {};
  args.flags = CLONE_CLEAR_SIGHAND;
  args.exit_signal = SIGCHLD;
  pid_t pid = MUST(clone3(args));
  if (pid == 0) {
    struct sigaction caught, ignored;
    sigaction(SIGUSR1, nullptr, &caught);
    sigaction(SIGUSR2, nullptr, &ignored);
    _exit(caught.sa_handler == SIG_DFL && ignored.sa_handler == SIG_IGN ? 0 : 1);
  }
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Unshare, FilesAndFs) {
  int fd = MUST(open("/dev/null", O_RDONLY));
  Thread thread([&] {
    EXPECT_OK(unshare(CLONE_FILES | CLONE_FS));
    close(fd);
    EXPECT_OK(chdir("/"));
  });
  thread.join();
  EXPECT_OK(fcntl(fd, F_GETFD));
  char cwd[4096];
  EXPECT_TRUE(getcwd(cwd, sizeof cwd) != nullptr && strcmp(cwd, "/") != 0);
}

TEST(Unshare, UnknownFlags) { EXPECT_ERR(unshare(0x40), EINVAL); }

TEST(Unshare, ThreadsForbidVm) {
  Thread thread([] { EXPECT_ERR(unshare(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD), EINVAL); });
}

pid_t clone_with_ids(uint64_t flags, const std::vector<pid_t>& ids) {
  clone_args args = {};
  args.flags = flags;
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<uint64_t>(ids.data());
  args.set_tid_size = ids.size();
  const pid_t pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  if (pid == 0) _exit(getpid() == ids[0] ? 0 : 1);
  return pid;
}

TEST(Clone3, ChosenIdsAreChecked) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  const pid_t most = atoi(read_file("/proc/sys/kernel/pid_max").c_str());
  EXPECT_ERR(clone_with_ids(0, {most}), EINVAL);
  EXPECT_ERR(clone_with_ids(0, {0}), EINVAL);
  EXPECT_ERR(clone_with_ids(0, {getpid()}), EEXIST);
  const pid_t free_id = most - 7;
  EXPECT_EQ(clone_with_ids(0, {free_id}), free_id);
  EXPECT_EXITED(wait_for(free_id), 0);
  // The first process of a namespace is its 1.
  EXPECT_ERR(clone_with_ids(CLONE_NEWPID, {5}), EINVAL);
  EXPECT_EXITED(wait_for(MUST(clone_with_ids(CLONE_NEWPID, {1}))), 0);
  EXPECT_EQ(clone_with_ids(CLONE_NEWPID, {1, free_id}), free_id);
  EXPECT_EXITED(wait_for(free_id), 0);
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  EXPECT_ERR(clone_with_ids(0, {free_id}), EPERM);
                }),
                0);
}

}  // namespace
