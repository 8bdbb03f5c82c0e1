// stat(2), statx(2), statfs(2), chmod, chown, utimensat, xattrs, access.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct stat stat_of(const char* path) {
  struct stat info;
  MUST(lstat(path, &info));
  return info;
}

TEST(Stat, FieldsOfAFile) {
  write_file("f", std::string(5000, 'x'));
  struct stat info = stat_of("f");
  EXPECT_TRUE(S_ISREG(info.st_mode));
  EXPECT_EQ(info.st_size, 5000);
  EXPECT_EQ(info.st_nlink, 1u);
  EXPECT_EQ(info.st_uid, geteuid());
  EXPECT_EQ(info.st_blksize, 4096);
  EXPECT_NE(info.st_ino, 0u);
  EXPECT_EQ(info.st_dev, stat_of(".").st_dev);
}

TEST(Stat, TheWaysAgree) {
  write_file("f", "x");
  struct stat a = stat_of("f"), b, c, d;
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  EXPECT_OK(fstat(fd.get(), &b));
  EXPECT_OK(fstatat(AT_FDCWD, "f", &c, 0));
  EXPECT_OK(fstatat(fd.get(), "", &d, AT_EMPTY_PATH));
  EXPECT_EQ(a.st_ino, b.st_ino);
  EXPECT_EQ(a.st_ino, c.st_ino);
  EXPECT_EQ(a.st_ino, d.st_ino);
}

TEST(Stat, Errors) {
  struct stat info;
  EXPECT_ERR(stat("missing", &info), ENOENT);
  EXPECT_ERR(stat("", &info), ENOENT);
  EXPECT_ERR(fstat(999, &info), EBADF);
  EXPECT_ERR(syscall(SYS_newfstatat, AT_FDCWD, ".", 8, 0), EFAULT);
  EXPECT_ERR(fstatat(AT_FDCWD, ".", &info, 0x40000), EINVAL);
  write_file("f", "x");
  EXPECT_ERR(stat("f/x", &info), ENOTDIR);
}

TEST(Stat, PipesAndSocketsHaveTypes) {
  int fds[2];
  MUST(pipe(fds));
  struct stat info;
  EXPECT_OK(fstat(fds[0], &info));
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
}

TEST(Statx, BasicAndBirth) {
  write_file("f", "hello");
  struct statx info = {};
  EXPECT_OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &info));
  EXPECT_EQ(info.stx_mask & STATX_BASIC_STATS, unsigned{STATX_BASIC_STATS});
  EXPECT_EQ(info.stx_size, 5u);
  struct stat plain = stat_of("f");
  EXPECT_EQ(info.stx_ino, plain.st_ino);
  EXPECT_EQ(makedev(info.stx_dev_major, info.stx_dev_minor), plain.st_dev);
  EXPECT_EQ(info.stx_mtime.tv_sec, plain.st_mtim.tv_sec);
}

TEST(Statx, FlagsAndErrors) {
  struct statx info = {};
  UniqueFd fd(MUST(open(".", O_RDONLY)));
  EXPECT_OK(statx(fd.get(), "", AT_EMPTY_PATH, STATX_TYPE, &info));
  EXPECT_TRUE(S_ISDIR(info.stx_mode));
  EXPECT_ERR(statx(AT_FDCWD, ".", 0x40000, STATX_TYPE, &info), EINVAL);
  EXPECT_ERR(statx(AT_FDCWD, ".", 0, 0x80000000u, &info), EINVAL);
  EXPECT_ERR(statx(AT_FDCWD, ".", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &info), EINVAL);
  MUST(symlink("missing", "s"));
  EXPECT_ERR(statx(AT_FDCWD, "s", 0, STATX_TYPE, &info), ENOENT);
  EXPECT_OK(statx(AT_FDCWD, "s", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &info));
  EXPECT_TRUE(S_ISLNK(info.stx_mode));
}

TEST(Times, WritesAndReadsTouchThem) {
  write_file("f", "x");
  timespec old[2] = {{1000, 5}, {2000, 7}};
  EXPECT_OK(utimensat(AT_FDCWD, "f", old, 0));
  struct stat info = stat_of("f");
  EXPECT_EQ(info.st_atim.tv_sec, 1000);
  EXPECT_EQ(info.st_mtim.tv_sec, 2000);
  EXPECT_EQ(info.st_mtim.tv_nsec, 7);
  time_t changed = info.st_ctim.tv_sec;
  EXPECT_GT(changed, 2000);
  UniqueFd fd(MUST(open("f", O_WRONLY)));
  EXPECT_EQ(write(fd.get(), "y", 1), 1);
  EXPECT_GE(stat_of("f").st_mtim.tv_sec, changed);
}

TEST(Times, OmitAndNow) {
  write_file("f", "x");
  timespec times[2] = {{1000, 0}, {2000, 0}};
  MUST(utimensat(AT_FDCWD, "f", times, 0));
  timespec some[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  EXPECT_OK(utimensat(AT_FDCWD, "f", some, 0));
  struct stat info = stat_of("f");
  EXPECT_EQ(info.st_atim.tv_sec, 1000);
  EXPECT_GT(info.st_mtim.tv_sec, 1000000);
  timespec bad[2] = {{0, 1000000000}, {0, 0}};
  EXPECT_ERR(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
  EXPECT_ERR(utimensat(AT_FDCWD, "missing", times, 0), ENOENT);
}

TEST(Times, OfASymlinkAndADescriptor) {
  MUST(symlink("missing", "s"));
  timespec times[2] = {{1000, 0}, {2000, 0}};
  EXPECT_OK(utimensat(AT_FDCWD, "s", times, AT_SYMLINK_NOFOLLOW));
  EXPECT_EQ(stat_of("s").st_mtim.tv_sec, 2000);
  write_file("f", "x");
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  EXPECT_OK(futimens(fd.get(), times));
  EXPECT_EQ(stat_of("f").st_mtim.tv_sec, 2000);
}

TEST(Times, DirectoryChangesWithItsEntries) {
  MUST(mkdir("d", 0755));
  timespec old[2] = {{1000, 0}, {1000, 0}};
  MUST(utimensat(AT_FDCWD, "d", old, 0));
  write_file("d/f", "x");
  EXPECT_GT(stat_of("d").st_mtim.tv_sec, 1000);
  MUST(utimensat(AT_FDCWD, "d", old, 0));
  MUST(unlink("d/f"));
  EXPECT_GT(stat_of("d").st_mtim.tv_sec, 1000);
}

TEST(Chmod, Forms) {
  write_file("f", "x");
  EXPECT_OK(chmod("f", 0604));
  EXPECT_EQ(stat_of("f").st_mode & 07777, 0604u);
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  EXPECT_OK(fchmod(fd.get(), 01751));
  EXPECT_EQ(stat_of("f").st_mode & 07777, 01751u);
  EXPECT_OK(fchmodat(AT_FDCWD, "f", 0600, 0));
  EXPECT_ERR(chmod("missing", 0600), ENOENT);
  EXPECT_ERR(fchmod(999, 0600), EBADF);
}

TEST(Chmod, WritingClearsSetuid) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  write_file("f", "x");
                  MUST(chmod("f", 06777));
                  UniqueFd fd(MUST(open("f", O_WRONLY)));
                  EXPECT_EQ(write(fd.get(), "y", 1), 1);
                  EXPECT_EQ(stat_of("f").st_mode & 07777, 0777u);
                }),
                0);
}

TEST(Chown, Forms) {
  NEEDS_CAPABILITY(CAP_CHOWN);
  write_file("f", "x");
  EXPECT_OK(chown("f", 1001, 1002));
  EXPECT_EQ(stat_of("f").st_uid, 1001u);
  EXPECT_EQ(stat_of("f").st_gid, 1002u);
  EXPECT_OK(chown("f", -1, 1003));
  EXPECT_EQ(stat_of("f").st_uid, 1001u);
  MUST(symlink("f", "s"));
  EXPECT_OK(lchown("s", 7, 7));
  EXPECT_EQ(stat_of("s").st_uid, 7u);
  EXPECT_EQ(stat_of("f").st_uid, 1001u);
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  EXPECT_OK(fchown(fd.get(), 5, 5));
  EXPECT_OK(fchownat(fd.get(), "", 6, 6, AT_EMPTY_PATH));
  EXPECT_EQ(stat_of("f").st_uid, 6u);
}

TEST(Statfs, IsSane) {
  struct statfs info = {};
  EXPECT_OK(statfs(".", &info));
  EXPECT_GT(info.f_bsize, 0);
  EXPECT_EQ(info.f_namelen, 255);
  EXPECT_OK(statfs("/proc", &info));
  EXPECT_EQ(info.f_type, 0x9fa0);
  EXPECT_ERR(statfs("missing", &info), ENOENT);
  UniqueFd fd(MUST(open(".", O_RDONLY)));
  EXPECT_OK(fstatfs(fd.get(), &info));
}

TEST(Access, Faccessat2) {
  write_file("f", "x");
  EXPECT_OK(faccessat(AT_FDCWD, "f", F_OK, 0));
  EXPECT_ERR(faccessat(AT_FDCWD, "missing", F_OK, 0), ENOENT);
  EXPECT_ERR(access("f", 8), EINVAL);
  MUST(symlink("missing", "s"));
  EXPECT_ERR(faccessat(AT_FDCWD, "s", F_OK, 0), ENOENT);
  EXPECT_OK(syscall(SYS_faccessat2, AT_FDCWD, "s", F_OK, AT_SYMLINK_NOFOLLOW));
  EXPECT_ERR(syscall(SYS_faccessat2, AT_FDCWD, "f", F_OK, 0x40000), EINVAL);
}

TEST(Xattr, SetGetListRemove) {
  write_file("f", "x");
  EXPECT_OK(setxattr("f", "user.color", "blue", 4, 0));
  char value[16] = {};
  EXPECT_EQ(getxattr("f", "user.color", nullptr, 0), 4);
  EXPECT_EQ(getxattr("f", "user.color", value, sizeof value), 4);
  EXPECT_EQ(std::string(value), "blue");
  EXPECT_ERR(getxattr("f", "user.color", value, 2), ERANGE);
  char names[256] = {};
  ssize_t n = listxattr("f", names, sizeof names);
  EXPECT_GE(n, 11);
  EXPECT_NE(std::string(names, n).find("user.color"), std::string::npos);
  EXPECT_OK(removexattr("f", "user.color"));
  EXPECT_ERR(getxattr("f", "user.color", value, sizeof value), ENODATA);
  EXPECT_ERR(removexattr("f", "user.color"), ENODATA);
}

struct XattrArgs {
  uint64_t value;
  uint32_t size, flags;
};

TEST(Xattr, ByDirectory) {
  write_file("f", "x");
  if (syscall(466, AT_FDCWD, "f", 0, "user.none") < 0 && errno == ENOSYS) skip("no setxattrat(2)");
  UniqueFd dir(MUST(open(".", O_RDONLY | O_DIRECTORY)));
  char value[8] = "blue";
  XattrArgs args = {uint64_t(value), 4, XATTR_CREATE};
  if (syscall(463, dir.get(), "f", 0, "user.color", &args, sizeof args) < 0 &&
      errno == EOPNOTSUPP) {
    skip("this file system has no user attributes");
  }
  EXPECT_ERR(syscall(463, dir.get(), "f", 0, "user.color", &args, sizeof args), EEXIST);
  EXPECT_ERR(syscall(463, dir.get(), "f", 0, "user.color", &args, 15), EINVAL);
  EXPECT_ERR(syscall(463, dir.get(), "f", 1, "user.color", &args, sizeof args), EINVAL);
  char got[8] = {};
  args = {uint64_t(got), sizeof got, 0};
  EXPECT_EQ(syscall(464, dir.get(), "f", 0, "user.color", &args, sizeof args), 4);
  EXPECT_EQ(std::string(got), "blue");
  args.flags = 1;
  EXPECT_ERR(syscall(464, dir.get(), "f", 0, "user.color", &args, sizeof args), EINVAL);
  UniqueFd file(MUST(open("f", O_RDONLY)));
  char names[64];
  EXPECT_EQ(syscall(465, file.get(), "", AT_EMPTY_PATH, names, sizeof names), 11);
  EXPECT_OK(syscall(466, dir.get(), "f", 0, "user.color"));
  EXPECT_ERR(syscall(466, dir.get(), "f", 0, "user.color"), ENODATA);
}

TEST(Statfs, UsedBlocksFollowWrites) {
  struct statfs before, after;
  MUST(statfs(".", &before));
  write_file("f", std::string(8 << 20, 'x'));
  sync();
  MUST(statfs(".", &after));
  EXPECT_LT(after.f_bfree, before.f_bfree);
}

TEST(Ustat, OfAMountedDevice) {
  struct stat st;
  MUST(stat("/dev/shm", &st));
  uint64_t buffer[4];
  EXPECT_OK(syscall(SYS_ustat, st.st_dev, buffer));
  EXPECT_ERR(syscall(SYS_ustat, 0xfffffu, buffer), EINVAL);
  EXPECT_ERR(syscall(SYS_ustat, st.st_dev, nullptr), EFAULT);
}

TEST(Xattr, CreateAndReplace) {
  write_file("f", "x");
  EXPECT_ERR(setxattr("f", "user.a", "1", 1, XATTR_REPLACE), ENODATA);
  EXPECT_OK(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
  EXPECT_ERR(setxattr("f", "user.a", "2", 1, XATTR_CREATE), EEXIST);
  EXPECT_OK(setxattr("f", "user.a", "2", 1, XATTR_REPLACE));
  EXPECT_ERR(setxattr("f", "user.a", "2", 1, 0x40), EINVAL);
}

TEST(Xattr, NamesAndTypes) {
  write_file("f", "x");
  EXPECT_ERR(setxattr("f", "nonsense", "1", 1, 0), EOPNOTSUPP);
  EXPECT_ERR(setxattr("f", "user.", "1", 1, 0), EINVAL);
  std::string name = "user." + std::string(300, 'x');
  EXPECT_ERR(setxattr("f", name.c_str(), "1", 1, 0), ERANGE);
  MUST(symlink("f", "s"));
  EXPECT_ERR(lsetxattr("s", "user.a", "1", 1, 0), EPERM);
  EXPECT_OK(setxattr("s", "user.a", "1", 1, 0));
  char value[4];
  EXPECT_EQ(getxattr("f", "user.a", value, 4), 1);
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  EXPECT_EQ(fgetxattr(fd.get(), "user.a", value, 4), 1);
}

TEST(Xattr, TrustedNeedsPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  write_file("f", "x");
                  EXPECT_ERR(setxattr("f", "trusted.a", "1", 1, 0), EPERM);
                }),
                0);
}

}  // namespace
