// Descriptors: dup, fcntl, close_range, getdents64, flock, POSIX and OFD locks.
#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <set>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

UniqueFd new_file(const char* name, std::string_view content = "x") {
  write_file(name, content);
  return UniqueFd(MUST(open(name, O_RDWR)));
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

TEST(Dup, SharesOffsetAndFlags) {
  UniqueFd fd = new_file("f", "hello");
  UniqueFd copy(MUST(dup(fd.get())));
  char byte;
  EXPECT_EQ(read(fd.get(), &byte, 1), 1);
  EXPECT_EQ(lseek(copy.get(), 0, SEEK_CUR), 1);
  MUST(fcntl(fd.get(), F_SETFL, O_NONBLOCK));
  EXPECT_TRUE(fcntl(copy.get(), F_GETFL) & O_NONBLOCK);
  MUST(fcntl(fd.get(), F_SETFD, FD_CLOEXEC));
  EXPECT_EQ(fcntl(copy.get(), F_GETFD), 0);
}

TEST(Dup, Dup2AndDup3) {
  UniqueFd fd = new_file("f");
  EXPECT_EQ(dup2(fd.get(), 50), 50);
  EXPECT_EQ(dup2(fd.get(), fd.get()), fd.get());
  EXPECT_ERR(dup3(fd.get(), fd.get(), 0), EINVAL);
  EXPECT_EQ(dup3(fd.get(), 51, O_CLOEXEC), 51);
  EXPECT_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
  EXPECT_ERR(dup3(fd.get(), 52, 1), EINVAL);
  EXPECT_ERR(dup2(999, 50), EBADF);
  EXPECT_TRUE(is_open(50));
  EXPECT_ERR(dup2(fd.get(), -1), EBADF);
}

TEST(Fcntl, DupfdStartsAtItsArgument) {
  UniqueFd fd = new_file("f");
  EXPECT_EQ(fcntl(fd.get(), F_DUPFD, 70), 70);
  EXPECT_EQ(fcntl(fd.get(), F_DUPFD_CLOEXEC, 70), 71);
  EXPECT_EQ(fcntl(71, F_GETFD), FD_CLOEXEC);
  EXPECT_ERR(fcntl(fd.get(), F_DUPFD, -1), EINVAL);
  EXPECT_ERR(fcntl(fd.get(), 9999), EINVAL);
  EXPECT_ERR(fcntl(999, F_GETFL), EBADF);
}

TEST(Fcntl, SetflChangesOnlySome) {
  UniqueFd fd = new_file("f");
  EXPECT_OK(fcntl(fd.get(), F_SETFL, O_APPEND | O_WRONLY | O_CREAT));
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & (O_ACCMODE | O_APPEND), O_RDWR | O_APPEND);
}

TEST(Fcntl, OwnerAndSignal) {
  int fds[2];
  MUST(pipe(fds));
  EXPECT_EQ(fcntl(fds[0], F_GETOWN), 0);
  EXPECT_OK(fcntl(fds[0], F_SETOWN, getpid()));
  EXPECT_EQ(fcntl(fds[0], F_GETOWN), getpid());
  EXPECT_OK(fcntl(fds[0], F_SETSIG, SIGUSR1));
  EXPECT_EQ(fcntl(fds[0], F_GETSIG), SIGUSR1);
}

TEST(Close, Errors) {
  EXPECT_ERR(close(999), EBADF);
  EXPECT_ERR(close(-1), EBADF);
}

TEST(CloseRange, ClosesAndMarks) {
  UniqueFd fd = new_file("f");
  for (int i = 60; i < 70; ++i) MUST(dup2(fd.get(), i));
  EXPECT_OK(close_range(62, 64, 0));
  EXPECT_TRUE(is_open(61));
  EXPECT_FALSE(is_open(62));
  EXPECT_FALSE(is_open(64));
  EXPECT_TRUE(is_open(65));
  EXPECT_OK(close_range(65, 66, CLOSE_RANGE_CLOEXEC));
  EXPECT_EQ(fcntl(66, F_GETFD), FD_CLOEXEC);
  EXPECT_ERR(close_range(5, 4, 0), EINVAL);
  EXPECT_ERR(close_range(5, 6, 0x40), EINVAL);
  EXPECT_OK(close_range(60, ~0u, 0));
  EXPECT_FALSE(is_open(69));
}

TEST(CloseRange, UnshareLeavesTheOthersTable) {
  UniqueFd fd = new_file("f");
  MUST(dup2(fd.get(), 60));
  Thread thread([] { EXPECT_OK(close_range(60, 60, CLOSE_RANGE_UNSHARE)); });
  thread.join();
  EXPECT_TRUE(is_open(60));
}

TEST(Fd, ListedInProc) {
  UniqueFd fd = new_file("f");
  MUST(dup2(fd.get(), 77));
  char path[4096];
  ssize_t n = MUST(readlink("/proc/self/fd/77", path, sizeof path));
  EXPECT_EQ(std::string(path, n), scratch() + "/f");
  EXPECT_EQ(proc_field("/proc/self/fdinfo/77", "pos"), "0");
  int flags =
      static_cast<int>(strtol(proc_field("/proc/self/fdinfo/77", "flags").c_str(), nullptr, 8));
  EXPECT_EQ(flags & O_ACCMODE, O_RDWR);
  int fds[2];
  MUST(pipe(fds));
  n = MUST(readlink(("/proc/self/fd/" + std::to_string(fds[0])).c_str(), path, sizeof path));
  EXPECT_EQ(std::string(path, 5), "pipe:");
}

TEST(Ioctl, FionreadFionbioFioclex) {
  UniqueFd fd = new_file("f", "hello");
  int n = 0;
  EXPECT_OK(ioctl(fd.get(), FIONREAD, &n));
  EXPECT_EQ(n, 5);
  EXPECT_OK(ioctl(fd.get(), FIOCLEX));
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_OK(ioctl(fd.get(), FIONCLEX));
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), 0);
  n = 1;
  EXPECT_OK(ioctl(fd.get(), FIONBIO, &n));
  EXPECT_TRUE(fcntl(fd.get(), F_GETFL) & O_NONBLOCK);
  EXPECT_ERR(ioctl(fd.get(), TCGETS, &n), ENOTTY);
  EXPECT_ERR(ioctl(999, FIONREAD, &n), EBADF);
}

std::multiset<std::string> entries_of(const char* path) {
  std::multiset<std::string> names;
  DIR* dir = opendir(path);
  ASSERT_TRUE(dir != nullptr);
  while (dirent* entry = readdir(dir)) names.insert(entry->d_name);
  closedir(dir);
  return names;
}

TEST(Getdents, ListsEachOnce) {
  for (int i = 0; i < 300; ++i) write_file(("file" + std::to_string(i)).c_str(), "");
  auto names = entries_of(".");
  EXPECT_EQ(names.size(), 302u);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(names.count("file" + std::to_string(i)), 1u);
  EXPECT_EQ(names.count("."), 1u);
  EXPECT_EQ(names.count(".."), 1u);
}

TEST(Getdents, TypesAndInodes) {
  write_file("f", "");
  MUST(mkdir("d", 0755));
  MUST(symlink("f", "s"));
  DIR* dir = opendir(".");
  while (dirent* entry = readdir(dir)) {
    struct stat info;
    std::string name = entry->d_name;
    if (name == "..") continue;
    MUST(lstat(entry->d_name, &info));
    EXPECT_EQ(info.st_ino, entry->d_ino);
    if (entry->d_type != DT_UNKNOWN) EXPECT_EQ(DTTOIF(entry->d_type), info.st_mode & S_IFMT);
  }
  closedir(dir);
}

TEST(Getdents, SmallBufferIsEinval) {
  UniqueFd dir(MUST(open(".", O_RDONLY | O_DIRECTORY)));
  char buffer[8];
  EXPECT_ERR(syscall(SYS_getdents64, dir.get(), buffer, sizeof buffer), EINVAL);
  UniqueFd file = new_file("f");
  char big[1024];
  EXPECT_ERR(syscall(SYS_getdents64, file.get(), big, sizeof big), ENOTDIR);
}

TEST(Getdents, RewindSeesChanges) {
  DIR* dir = opendir(".");
  while (readdir(dir)) {
  }
  write_file("new", "");
  rewinddir(dir);
  bool seen = false;
  while (dirent* entry = readdir(dir)) seen |= std::string(entry->d_name) == "new";
  EXPECT_TRUE(seen);
  closedir(dir);
}

TEST(Getdents, RemovingWhileReadingSkipsNothing) {
  for (int i = 0; i < 200; ++i) write_file(("file" + std::to_string(i)).c_str(), "");
  DIR* dir = opendir(".");
  while (dirent* entry = readdir(dir)) {
    if (entry->d_name[0] == 'f') EXPECT_OK(unlink(entry->d_name));
  }
  closedir(dir);
  EXPECT_EQ(entries_of(".").size(), 2u);
}

TEST(Flock, ExclusiveAndShared) {
  UniqueFd a = new_file("f");
  UniqueFd b(MUST(open("f", O_RDWR)));
  EXPECT_OK(flock(a.get(), LOCK_SH));
  EXPECT_OK(flock(b.get(), LOCK_SH | LOCK_NB));
  EXPECT_ERR(flock(b.get(), LOCK_EX | LOCK_NB), EAGAIN);
  EXPECT_OK(flock(b.get(), LOCK_UN));
  EXPECT_OK(flock(a.get(), LOCK_EX));
  EXPECT_ERR(flock(b.get(), LOCK_SH | LOCK_NB), EAGAIN);
  a.reset();
  EXPECT_OK(flock(b.get(), LOCK_EX | LOCK_NB));
  EXPECT_ERR(flock(b.get(), 77), EINVAL);
}

TEST(Flock, BelongsToTheOpenFile) {
  UniqueFd fd = new_file("f");
  MUST(flock(fd.get(), LOCK_EX));
  UniqueFd copy(MUST(dup(fd.get())));
  fd.reset();
  UniqueFd other(MUST(open("f", O_RDWR)));
  EXPECT_ERR(flock(other.get(), LOCK_EX | LOCK_NB), EAGAIN);
  EXPECT_OK(flock(copy.get(), LOCK_UN));
  EXPECT_OK(flock(other.get(), LOCK_EX | LOCK_NB));
}

TEST(Flock, WaiterGetsIt) {
  UniqueFd fd = new_file("f");
  MUST(flock(fd.get(), LOCK_EX));
  pid_t pid = fork_child([] {
    UniqueFd own(MUST(open("f", O_RDWR)));
    EXPECT_OK(flock(own.get(), LOCK_EX));
  });
  wait_until_blocked(pid);
  EXPECT_OK(flock(fd.get(), LOCK_UN));
  EXPECT_EXITED(wait_for(pid), 0);
}

struct flock region(short type, off_t start, off_t length) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  return lock;
}

int set_lock(int fd, short type, off_t start, off_t length, int command = F_SETLK) {
  struct flock lock = region(type, start, length);
  return fcntl(fd, command, &lock);
}

TEST(PosixLock, ConflictsBetweenProcesses) {
  UniqueFd fd = new_file("f");
  EXPECT_OK(set_lock(fd.get(), F_WRLCK, 10, 10));
  EXPECT_EXITED(run_child([&] {
                  EXPECT_ERR(set_lock(fd.get(), F_WRLCK, 15, 1), EAGAIN);
                  EXPECT_ERR(set_lock(fd.get(), F_RDLCK, 0, 0), EAGAIN);
                  EXPECT_OK(set_lock(fd.get(), F_WRLCK, 0, 10));
                  struct flock lock = region(F_WRLCK, 0, 0);
                  EXPECT_OK(fcntl(fd.get(), F_GETLK, &lock));
                  EXPECT_EQ(lock.l_type, F_WRLCK);
                  EXPECT_EQ(lock.l_start, 10);
                  EXPECT_EQ(lock.l_len, 10);
                  EXPECT_EQ(lock.l_pid, getppid());
                }),
                0);
}

TEST(PosixLock, SplitsAndMerges) {
  UniqueFd fd = new_file("f");
  EXPECT_OK(set_lock(fd.get(), F_WRLCK, 0, 30));
  EXPECT_OK(set_lock(fd.get(), F_UNLCK, 10, 10));
  EXPECT_EXITED(run_child([&] {
                  EXPECT_OK(set_lock(fd.get(), F_WRLCK, 10, 10));
                  EXPECT_ERR(set_lock(fd.get(), F_WRLCK, 9, 1), EAGAIN);
                  EXPECT_ERR(set_lock(fd.get(), F_WRLCK, 20, 1), EAGAIN);
                }),
                0);
}

TEST(PosixLock, AnyCloseReleases) {
  UniqueFd fd = new_file("f");
  MUST(set_lock(fd.get(), F_WRLCK, 0, 0));
  close(MUST(open("f", O_RDONLY)));
  EXPECT_EXITED(run_child([&] { EXPECT_OK(set_lock(fd.get(), F_WRLCK, 0, 0)); }), 0);
}

TEST(PosixLock, WaitingAndDeadlock) {
  UniqueFd fd = new_file("f");
  int fds[2];
  MUST(pipe(fds));
  MUST(set_lock(fd.get(), F_WRLCK, 0, 1));
  pid_t pid = fork_child([&] {
    MUST(set_lock(fd.get(), F_WRLCK, 1, 1));
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    EXPECT_OK(set_lock(fd.get(), F_WRLCK, 0, 1, F_SETLKW));
  });
  char byte;
  EXPECT_EQ(read(fds[0], &byte, 1), 1);
  wait_until_blocked(pid);
  EXPECT_ERR(set_lock(fd.get(), F_WRLCK, 1, 1, F_SETLKW), EDEADLK);
  EXPECT_OK(set_lock(fd.get(), F_UNLCK, 0, 1));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(PosixLock, Errors) {
  write_file("f", "x");
  UniqueFd readable(MUST(open("f", O_RDONLY)));
  EXPECT_ERR(set_lock(readable.get(), F_WRLCK, 0, 1), EBADF);
  EXPECT_OK(set_lock(readable.get(), F_RDLCK, 0, 1));
  EXPECT_ERR(set_lock(readable.get(), 77, 0, 1), EINVAL);
  EXPECT_ERR(set_lock(readable.get(), F_RDLCK, -5, 1), EINVAL);
}

TEST(OfdLock, BelongsToTheOpenFile) {
  UniqueFd a = new_file("f");
  UniqueFd b(MUST(open("f", O_RDWR)));
  EXPECT_OK(set_lock(a.get(), F_WRLCK, 0, 10, F_OFD_SETLK));
  EXPECT_ERR(set_lock(b.get(), F_WRLCK, 0, 10, F_OFD_SETLK), EAGAIN);
  struct flock lock = region(F_WRLCK, 0, 0);
  EXPECT_OK(fcntl(b.get(), F_OFD_GETLK, &lock));
  EXPECT_EQ(lock.l_pid, -1);
  UniqueFd copy(MUST(dup(a.get())));
  a.reset();
  EXPECT_ERR(set_lock(b.get(), F_WRLCK, 0, 10, F_OFD_SETLK), EAGAIN);
  copy.reset();
  EXPECT_OK(set_lock(b.get(), F_WRLCK, 0, 10, F_OFD_SETLK));
}

TEST(Lease, SetAndGet) {
  UniqueFd fd = new_file("f");
  EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_UNLCK);
}

}  // namespace
