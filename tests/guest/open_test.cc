// open(2), openat2(2), O_TMPFILE, O_PATH and descriptor flags.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

int openat2(int dir, const char* path, uint64_t flags, uint64_t resolve, uint64_t mode = 0) {
  open_how how = {flags, mode, resolve};
  return static_cast<int>(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

mode_t mode_of(const char* path) {
  struct stat info;
  MUST(lstat(path, &info));
  return info.st_mode;
}

TEST(Open, CreateExclTrunc) {
  EXPECT_ERR(open("f", O_RDONLY), ENOENT);
  UniqueFd fd(MUST(open("f", O_WRONLY | O_CREAT | O_EXCL, 0640)));
  EXPECT_EQ(mode_of("f"), mode_t{S_IFREG | 0640});
  EXPECT_ERR(open("f", O_WRONLY | O_CREAT | O_EXCL, 0640), EEXIST);
  EXPECT_EQ(write(fd.get(), "hello", 5), 5);
  fd.reset(MUST(open("f", O_WRONLY | O_TRUNC)));
  EXPECT_EQ(read_file("f"), "");
}

TEST(Open, UmaskApplies) {
  umask(027);
  UniqueFd fd(MUST(open("f", O_WRONLY | O_CREAT, 0777)));
  EXPECT_EQ(mode_of("f") & 0777, 0750u);
  MUST(mkdir("d", 0777));
  EXPECT_EQ(mode_of("d") & 0777, 0750u);
}

TEST(Open, DirectoryRules) {
  MUST(mkdir("d", 0755));
  write_file("f", "x");
  EXPECT_ERR(open("d", O_WRONLY), EISDIR);
  EXPECT_ERR(open("d", O_RDWR), EISDIR);
  EXPECT_ERR(open("d", O_RDONLY | O_CREAT, 0600), EISDIR);
  EXPECT_ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
  EXPECT_ERR(open("f/", O_RDONLY), ENOTDIR);
  EXPECT_ERR(open("new/", O_WRONLY | O_CREAT, 0600), EISDIR);
  UniqueFd fd(MUST(open("d", O_RDONLY | O_DIRECTORY)));
  char byte;
  EXPECT_ERR(read(fd.get(), &byte, 1), EISDIR);
}

TEST(Open, NofollowAndLoops) {
  write_file("f", "x");
  MUST(symlink("f", "link"));
  MUST(symlink("self", "self"));
  EXPECT_ERR(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
  EXPECT_ERR(open("self", O_RDONLY), ELOOP);
  EXPECT_ERR(open("link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
  UniqueFd fd(MUST(open("link", O_PATH | O_NOFOLLOW)));
  struct stat info;
  MUST(fstat(fd.get(), &info));
  EXPECT_TRUE(S_ISLNK(info.st_mode));
}

TEST(Open, CreateThroughADanglingLink) {
  MUST(symlink("target", "link"));
  EXPECT_ERR(open("link", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
  UniqueFd fd(MUST(open("link", O_WRONLY | O_CREAT, 0600)));
  EXPECT_OK(access("target", F_OK));
}

TEST(Open, AccessModesAreChecked) {
  write_file("f", "hello");
  char byte;
  UniqueFd writable(MUST(open("f", O_WRONLY)));
  EXPECT_ERR(read(writable.get(), &byte, 1), EBADF);
  UniqueFd readable(MUST(open("f", O_RDONLY)));
  EXPECT_ERR(write(readable.get(), "x", 1), EBADF);
  UniqueFd neither(MUST(open("f", O_ACCMODE)));
  EXPECT_ERR(read(neither.get(), &byte, 1), EBADF);
  EXPECT_ERR(write(neither.get(), "x", 1), EBADF);
}

TEST(Open, AppendGoesToTheEnd) {
  write_file("f", "abc");
  UniqueFd fd(MUST(open("f", O_RDWR | O_APPEND)));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 0);
  EXPECT_EQ(write(fd.get(), "d", 1), 1);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 4);
  lseek(fd.get(), 0, SEEK_SET);
  EXPECT_EQ(write(fd.get(), "e", 1), 1);
  EXPECT_EQ(pwrite(fd.get(), "f", 1, 0), 1);  // Unlike POSIX, Linux appends.
  EXPECT_EQ(read_file("f"), "abcdef");
}

TEST(Open, LowestFreeNumber) {
  int a = MUST(open("/dev/null", O_RDONLY));
  int b = MUST(open("/dev/null", O_RDONLY));
  close(a);
  EXPECT_EQ(open("/dev/null", O_RDONLY), a);
  close(a);
  close(b);
}

TEST(Open, PathErrors) {
  EXPECT_ERR(open("", O_RDONLY), ENOENT);
  EXPECT_ERR(open("no/such", O_RDONLY), ENOENT);
  std::string name(256, 'x');
  EXPECT_ERR(open(name.c_str(), O_RDONLY), ENAMETOOLONG);
  std::string path(5000, '/');
  EXPECT_ERR(open(path.c_str(), O_RDONLY), ENAMETOOLONG);
  EXPECT_ERR(open(reinterpret_cast<char*>(8), O_RDONLY), EFAULT);
  EXPECT_ERR(openat(999, "f", O_RDONLY), EBADF);
  UniqueFd null(MUST(open("/dev/null", O_RDONLY)));
  EXPECT_ERR(openat(null.get(), "f", O_RDONLY), ENOTDIR);
}

TEST(Open, LongestNameAndPath) {
  std::string name(255, 'n');
  write_file(name.c_str(), "x");
  EXPECT_OK(access(name.c_str(), F_OK));
  std::string path(4095 - 1, '/');
  path += ".";
  EXPECT_EQ(path.size(), 4095u);
  UniqueFd fd(MUST(open(path.c_str(), O_RDONLY)));
}

TEST(Open, GetflShowsFlags) {
  write_file("f", "x");
  UniqueFd fd(MUST(open("f", O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC)));
  int flags = fcntl(fd.get(), F_GETFL);
  EXPECT_EQ(flags & O_ACCMODE, O_RDWR);
  EXPECT_EQ(flags & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
  EXPECT_EQ(flags & O_CLOEXEC, 0);
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
}

TEST(OpenPath, CanOnlyNameThings) {
  write_file("f", "x");
  UniqueFd fd(MUST(open("f", O_PATH)));
  char byte;
  struct stat info;
  EXPECT_ERR(read(fd.get(), &byte, 1), EBADF);
  EXPECT_ERR(write(fd.get(), "x", 1), EBADF);
  EXPECT_ERR(fchmod(fd.get(), 0600), EBADF);
  EXPECT_ERR(ftruncate(fd.get(), 0), EBADF);
  EXPECT_OK(fstat(fd.get(), &info));
  EXPECT_OK(fcntl(fd.get(), F_GETFD));
  EXPECT_TRUE(fcntl(fd.get(), F_GETFL) & O_PATH);
  UniqueFd copy(MUST(dup(fd.get())));
  std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  UniqueFd reopened(MUST(open(path.c_str(), O_RDONLY)));
  EXPECT_EQ(read(reopened.get(), &byte, 1), 1);
}

TEST(OpenPath, DirectoryAsABase) {
  MUST(mkdir("d", 0755));
  write_file("d/f", "x");
  UniqueFd dir(MUST(open("d", O_PATH)));
  UniqueFd fd(MUST(openat(dir.get(), "f", O_RDONLY)));
  EXPECT_OK(fchdir(dir.get()));
  EXPECT_OK(access("f", F_OK));
}

TEST(OpenTmpfile, HasNoName) {
  UniqueFd fd(MUST(open(".", O_TMPFILE | O_RDWR, 0600)));
  EXPECT_EQ(write(fd.get(), "hello", 5), 5);
  struct stat info;
  MUST(fstat(fd.get(), &info));
  EXPECT_EQ(info.st_nlink, 0u);
  std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_OK(linkat(AT_FDCWD, path.c_str(), AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  EXPECT_EQ(read_file("named"), "hello");
}

TEST(OpenTmpfile, Rules) {
  EXPECT_ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
  write_file("f", "x");
  EXPECT_ERR(open("f", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
  UniqueFd fd(MUST(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600)));
  std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_ERR(linkat(AT_FDCWD, path.c_str(), AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT);
}

TEST(Openat2, BeneathStaysBeneath) {
  MUST(mkdir("d", 0755));
  write_file("d/f", "x");
  write_file("outside", "x");
  MUST(symlink("../outside", "d/escape"));
  MUST(symlink("f", "d/inside"));
  UniqueFd dir(MUST(open("d", O_RDONLY | O_DIRECTORY)));
  UniqueFd fd(MUST(openat2(dir.get(), "f", O_RDONLY, RESOLVE_BENEATH)));
  UniqueFd link(MUST(openat2(dir.get(), "inside", O_RDONLY, RESOLVE_BENEATH)));
  EXPECT_ERR(openat2(dir.get(), "../outside", O_RDONLY, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERR(openat2(dir.get(), "escape", O_RDONLY, RESOLVE_BENEATH), EXDEV);
  EXPECT_ERR(openat2(dir.get(), "/dev/null", O_RDONLY, RESOLVE_BENEATH), EXDEV);
}

TEST(Openat2, InRootScopesAbsolutePaths) {
  MUST(mkdir("d", 0755));
  write_file("d/f", "x");
  MUST(symlink("/f", "d/link"));
  UniqueFd dir(MUST(open("d", O_RDONLY | O_DIRECTORY)));
  UniqueFd fd(MUST(openat2(dir.get(), "/f", O_RDONLY, RESOLVE_IN_ROOT)));
  UniqueFd link(MUST(openat2(dir.get(), "link", O_RDONLY, RESOLVE_IN_ROOT)));
  UniqueFd up(MUST(openat2(dir.get(), "../../f", O_RDONLY, RESOLVE_IN_ROOT)));
}

TEST(Openat2, NoSymlinksAndNoMagiclinks) {
  write_file("f", "x");
  MUST(symlink("f", "link"));
  EXPECT_ERR(openat2(AT_FDCWD, "link", O_RDONLY, RESOLVE_NO_SYMLINKS), ELOOP);
  UniqueFd fd(MUST(openat2(AT_FDCWD, "f", O_RDONLY, RESOLVE_NO_SYMLINKS)));
  std::string magic = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_ERR(openat2(AT_FDCWD, magic.c_str(), O_RDONLY, RESOLVE_NO_MAGICLINKS), ELOOP);
  EXPECT_ERR(openat2(AT_FDCWD, "/proc/self/status", O_RDONLY, RESOLVE_NO_XDEV), EXDEV);
}

TEST(Openat2, IsStrict) {
  EXPECT_ERR(openat2(AT_FDCWD, "f", O_RDONLY, 1 << 20), EINVAL);
  EXPECT_ERR(openat2(AT_FDCWD, "f", uint64_t{1} << 40, 0), EINVAL);
  EXPECT_ERR(openat2(AT_FDCWD, "f", O_RDONLY, 0, 0600), EINVAL);
  EXPECT_ERR(openat2(AT_FDCWD, "f", O_CREAT | O_WRONLY, 0, 010000), EINVAL);
  EXPECT_ERR(openat2(AT_FDCWD, "f", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
  open_how how = {};
  EXPECT_ERR(syscall(SYS_openat2, AT_FDCWD, "f", &how, 8), EINVAL);
  struct {
    open_how how;
    uint64_t more;
  } longer = {{}, 1};
  EXPECT_ERR(syscall(SYS_openat2, AT_FDCWD, ".", &longer, sizeof longer), E2BIG);
}

TEST(Creat, IsOpen) {
  UniqueFd fd(MUST(creat("f", 0600)));
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_ACCMODE, O_WRONLY);
}

TEST(DevFiles, NullZeroFull) {
  UniqueFd null(MUST(open("/dev/null", O_RDWR)));
  char bytes[4] = {1, 2, 3, 4};
  EXPECT_EQ(read(null.get(), bytes, 4), 0);
  EXPECT_EQ(write(null.get(), bytes, 4), 4);
  UniqueFd zero(MUST(open("/dev/zero", O_RDWR)));
  EXPECT_EQ(read(zero.get(), bytes, 4), 4);
  EXPECT_EQ(bytes[0] | bytes[1] | bytes[2] | bytes[3], 0);
  UniqueFd full(MUST(open("/dev/full", O_RDWR)));
  EXPECT_EQ(read(full.get(), bytes, 4), 4);
  EXPECT_ERR(write(full.get(), bytes, 4), ENOSPC);
}

TEST(DevFiles, RandomAndUrandom) {
  for (const char* path : {"/dev/random", "/dev/urandom"}) {
    UniqueFd fd(MUST(open(path, O_RDONLY)));
    char a[16] = {}, b[16] = {};
    EXPECT_EQ(read(fd.get(), a, 16), 16);
    EXPECT_EQ(read(fd.get(), b, 16), 16);
    EXPECT_NE(memcmp(a, b, 16), 0);
  }
}

TEST(DevFiles, NumbersAreLinuxs) {
  struct stat info;
  MUST(stat("/dev/null", &info));
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  EXPECT_EQ(info.st_rdev, 0x103u);
  MUST(stat("/dev/zero", &info));
  EXPECT_EQ(info.st_rdev, 0x105u);
}

TEST(DevFiles, FdAndStdLinks) {
  write_file("f", "hello");
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  std::string path = "/dev/fd/" + std::to_string(fd.get());
  EXPECT_EQ(read_file(path.c_str()), "hello");
}

TEST(DevShm, IsWritable) {
  int fd = MUST(shm_open("/guest-open-test", O_RDWR | O_CREAT, 0600));
  EXPECT_OK(ftruncate(fd, 100));
  EXPECT_OK(shm_unlink("/guest-open-test"));
  close(fd);
}

}  // namespace
