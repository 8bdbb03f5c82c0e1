// kcmp(2).
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>

#include "tests/guest/harness.h"

namespace {

long kcmp(pid_t a, pid_t b, int type, unsigned long i = 0, unsigned long j = 0) {
  return syscall(SYS_kcmp, a, b, type, i, j);
}

// A child that lives until it is killed.
struct Child {
  explicit Child(unsigned long flags = 0) {
    pid = pid_t(MUST(syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0)));
    if (pid == 0) {
      for (;;) pause();
    }
  }
  ~Child() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  void become_zombie() {
    kill(pid, SIGKILL);
    siginfo_t info;
    MUST(waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT));
  }
  pid_t pid;
};

TEST(Kcmp, AProcessHasWhatItHas) {
  const pid_t self = getpid();
  for (int type : {KCMP_FILE, KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_SYSVSEM}) {
    EXPECT_OK(kcmp(self, self, type));
  }
}

TEST(Kcmp, AChildHasItsOwnButForOpenFiles) {
  Child child;
  for (int type : {KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND}) {
    const long one = kcmp(getpid(), child.pid, type), other = kcmp(child.pid, getpid(), type);
    EXPECT_EQ(one + other, 3);
    EXPECT_TRUE(one == 1 || one == 2);
  }
  EXPECT_OK(kcmp(getpid(), child.pid, KCMP_FILE, 0, 0));
}

TEST(Kcmp, AChildMayShare) {
  Child child(CLONE_FILES | CLONE_FS);
  EXPECT_OK(kcmp(getpid(), child.pid, KCMP_FILES));
  EXPECT_OK(kcmp(getpid(), child.pid, KCMP_FS));
  EXPECT_GT(kcmp(getpid(), child.pid, KCMP_VM), 0);
}

TEST(Kcmp, TheOrderIsOne) {
  constexpr size_t kFiles = 8;
  int fds[kFiles];
  for (int& fd : fds) fd = int(MUST(eventfd(0, 0)));
  auto less = [&](int a, int b) { return kcmp(getpid(), getpid(), KCMP_FILE, a, b) == 1; };
  std::sort(fds, fds + kFiles, less);
  for (size_t i = 0; i < kFiles; i++) {
    for (size_t j = 0; j < kFiles; j++) EXPECT_EQ(less(fds[i], fds[j]), i < j);
  }
}

TEST(Kcmp, OfOneWithoutUndoListsThereAreNone) {
  Child child;
  EXPECT_OK(kcmp(getpid(), child.pid, KCMP_SYSVSEM));
  const int set = int(MUST(semget(IPC_PRIVATE, 1, 0600)));
  sembuf up{0, 1, SEM_UNDO};
  MUST(semop(set, &up, 1));
  EXPECT_GT(kcmp(getpid(), child.pid, KCMP_SYSVSEM), 0);
  semctl(set, 0, IPC_RMID);
}

TEST(Kcmp, AZombieHasNothing) {
  Child a, b;
  a.become_zombie(), b.become_zombie();
  EXPECT_ERR(kcmp(getpid(), a.pid, KCMP_FILE, 0, 0), EBADF);
  EXPECT_ERR(kcmp(a.pid, getpid(), KCMP_FILE, 0, 0), EBADF);
  for (int type : {KCMP_VM, KCMP_FILES, KCMP_FS}) {
    EXPECT_OK(kcmp(a.pid, b.pid, type));
    EXPECT_GT(kcmp(a.pid, getpid(), type), 0);
  }
}

TEST(Kcmp, AnEpollSetsTargets) {
  const int set = int(MUST(epoll_create1(0)));
  const int file = int(MUST(eventfd(0, 0)));
  epoll_event event{};
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
  const pid_t self = getpid();
  kcmp_epoll_slot slot{unsigned(set), unsigned(file), 0};
  auto compare = [&](int fd) { return kcmp(self, self, KCMP_EPOLL_TFD, fd, ulong(&slot)); };
  EXPECT_OK(compare(file));
  EXPECT_GT(compare(set), 0);
  EXPECT_ERR(compare(999), EBADF);
  slot.toff = 1;
  EXPECT_ERR(compare(file), ENOENT);
  // Under the same number, another file.
  const int old = int(MUST(dup(file)));
  MUST(dup2(int(MUST(eventfd(0, 0))), file));
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
  EXPECT_OK(compare(file) == 0 ? 0 : compare(old));
  slot.toff = 0;
  EXPECT_OK(compare(file) == 0 ? 0 : compare(old));
  slot = {unsigned(file), unsigned(file), 0};
  EXPECT_ERR(compare(file), EINVAL);
  slot.efd = 999;
  EXPECT_ERR(compare(file), EBADF);
  EXPECT_ERR(kcmp(self, self, KCMP_EPOLL_TFD, file, 1), EFAULT);
}

TEST(Kcmp, Errors) {
  const pid_t self = getpid();
  EXPECT_ERR(kcmp(self, self, -1), EINVAL);
  EXPECT_ERR(kcmp(self, self, 100), EINVAL);
  EXPECT_ERR(kcmp(self, 0x3ffffff, KCMP_VM), ESRCH);
  EXPECT_ERR(kcmp(0, self, KCMP_VM), ESRCH);
  EXPECT_ERR(kcmp(self, self, KCMP_FILE, 999, 0), EBADF);
}

}  // namespace
