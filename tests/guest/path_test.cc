// Names: link, unlink, rename(at2), symlink, mkdir, rmdir, chdir, getcwd, chroot.
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

ino_t inode_of(const char* path) {
  struct stat info;
  MUST(lstat(path, &info));
  return info.st_ino;
}

nlink_t links_of(const char* path) {
  struct stat info;
  MUST(lstat(path, &info));
  return info.st_nlink;
}

std::string target_of(const char* path) {
  char target[4096];
  return std::string(target, MUST(readlink(path, target, sizeof target)));
}

TEST(Link, SharesTheInode) {
  write_file("a", "hello");
  EXPECT_OK(link("a", "b"));
  EXPECT_EQ(inode_of("a"), inode_of("b"));
  EXPECT_EQ(links_of("a"), 2u);
  EXPECT_OK(unlink("a"));
  EXPECT_EQ(read_file("b"), "hello");
  EXPECT_EQ(links_of("b"), 1u);
}

TEST(Link, Errors) {
  write_file("a", "x");
  MUST(mkdir("d", 0755));
  EXPECT_ERR(link("a", "a"), EEXIST);
  EXPECT_ERR(link("missing", "b"), ENOENT);
  EXPECT_ERR(link("d", "e"), EPERM);
  EXPECT_ERR(link("a", "no/b"), ENOENT);
  EXPECT_ERR(link("a", "/dev/shm/guest-path-test"), EXDEV);
  EXPECT_ERR(linkat(AT_FDCWD, "a", AT_FDCWD, "b", 0x40), EINVAL);
}

TEST(Link, OfASymlinkItself) {
  MUST(symlink("target", "s"));
  EXPECT_OK(link("s", "t"));
  EXPECT_EQ(target_of("t"), "target");
  EXPECT_ERR(linkat(AT_FDCWD, "s", AT_FDCWD, "u", AT_SYMLINK_FOLLOW), ENOENT);
}

TEST(Unlink, OpenFileLivesOn) {
  write_file("f", "hello");
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  EXPECT_OK(unlink("f"));
  char buffer[5];
  EXPECT_EQ(read(fd.get(), buffer, 5), 5);
  struct stat info;
  MUST(fstat(fd.get(), &info));
  EXPECT_EQ(info.st_nlink, 0u);
  EXPECT_EQ(target_of(("/proc/self/fd/" + std::to_string(fd.get())).c_str()),
            scratch() + "/f (deleted)");
}

TEST(Unlink, Errors) {
  MUST(mkdir("d", 0755));
  write_file("f", "x");
  EXPECT_ERR(unlink("missing"), ENOENT);
  EXPECT_ERR(unlink("d"), EISDIR);
  EXPECT_ERR(rmdir("f"), ENOTDIR);
  EXPECT_ERR(unlink("f/x"), ENOTDIR);
  EXPECT_ERR(unlinkat(AT_FDCWD, "f", 0x40), EINVAL);
  EXPECT_ERR(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
  EXPECT_OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
}

TEST(Mkdir, LinksAndErrors) {
  nlink_t before = links_of(".");
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_EQ(links_of("d"), 2u);
  EXPECT_EQ(links_of("."), before + 1);
  EXPECT_ERR(mkdir("d", 0755), EEXIST);
  EXPECT_ERR(mkdir("no/d", 0755), ENOENT);
  EXPECT_OK(mkdir("e/", 0755));
  EXPECT_OK(mkdir("d/inner", 0755));
  EXPECT_ERR(rmdir("d"), ENOTEMPTY);
  EXPECT_ERR(rmdir("d/."), EINVAL);
  EXPECT_ERR(rmdir("d/inner/.."), ENOTEMPTY);
  EXPECT_OK(rmdir("d/inner"));
  EXPECT_OK(rmdir("d"));
}

TEST(Mkdir, RemovedDirectoryIsDead) {
  MUST(mkdir("d", 0755));
  UniqueFd dir(MUST(open("d", O_RDONLY | O_DIRECTORY)));
  MUST(rmdir("d"));
  EXPECT_ERR(openat(dir.get(), "f", O_CREAT | O_WRONLY, 0600), ENOENT);
  EXPECT_ERR(mkdirat(dir.get(), "e", 0755), ENOENT);
}

TEST(Symlink, ReadlinkTruncates) {
  EXPECT_OK(symlink("target", "s"));
  char buffer[10] = "zzzzzzzzz";
  EXPECT_EQ(readlink("s", buffer, 3), 3);
  EXPECT_EQ(std::string(buffer, 4), "tarz");
  EXPECT_ERR(readlink("s", buffer, 0), EINVAL);
  EXPECT_ERR(readlink(".", buffer, 3), EINVAL);
  EXPECT_ERR(symlink("x", "s"), EEXIST);
  EXPECT_ERR(symlink("", "t"), ENOENT);
  struct stat info;
  MUST(lstat("s", &info));
  EXPECT_EQ(info.st_size, 6);
  EXPECT_EQ(info.st_mode, mode_t{S_IFLNK | 0777});
}

TEST(Symlink, ChainOfFortyIsTheLimit) {
  write_file("f", "x");
  MUST(symlink("f", "l1"));
  for (int i = 2; i <= 41; ++i) {
    MUST(symlink(("l" + std::to_string(i - 1)).c_str(), ("l" + std::to_string(i)).c_str()));
  }
  EXPECT_OK(access("l40", F_OK));
  EXPECT_ERR(access("l41", F_OK), ELOOP);
}

TEST(Symlink, TrailingSlashFollows) {
  MUST(mkdir("d", 0755));
  MUST(symlink("d", "s"));
  struct stat info;
  MUST(lstat("s/", &info));
  EXPECT_TRUE(S_ISDIR(info.st_mode));
  EXPECT_ERR(unlink("s/"), ENOTDIR);
  EXPECT_ERR(rmdir("s/"), ENOTDIR);
}

TEST(Symlink, ReadlinkatOfADescriptor) {
  MUST(symlink("target", "s"));
  UniqueFd fd(MUST(open("s", O_PATH | O_NOFOLLOW)));
  char buffer[10];
  EXPECT_EQ(readlinkat(fd.get(), "", buffer, sizeof buffer), 6);
}

TEST(Rename, ReplacesAFile) {
  write_file("a", "A");
  write_file("b", "B");
  EXPECT_OK(rename("a", "b"));
  EXPECT_EQ(read_file("b"), "A");
  EXPECT_ERR(access("a", F_OK), ENOENT);
}

TEST(Rename, SameInodeDoesNothing) {
  write_file("a", "A");
  MUST(link("a", "b"));
  EXPECT_OK(rename("a", "b"));
  EXPECT_OK(access("a", F_OK));
}

TEST(Rename, Directories) {
  MUST(mkdir("d", 0755));
  MUST(mkdir("d/sub", 0755));
  MUST(mkdir("empty", 0755));
  MUST(mkdir("full", 0755));
  write_file("full/f", "x");
  write_file("file", "x");
  EXPECT_ERR(rename("d", "full"), ENOTEMPTY);
  EXPECT_ERR(rename("d", "file"), ENOTDIR);
  EXPECT_ERR(rename("file", "d"), EISDIR);
  EXPECT_ERR(rename("d", "d/sub/x"), EINVAL);
  EXPECT_ERR(rename("d/sub", "d"), ENOTEMPTY);
  EXPECT_OK(rename("d", "empty"));
  EXPECT_OK(access("empty/sub", F_OK));
  EXPECT_ERR(rename("missing", "x"), ENOENT);
  EXPECT_ERR(rename("empty/.", "x"), EBUSY);
  EXPECT_ERR(rename("empty/..", "x"), EBUSY);
}

TEST(Rename, MovesDotDot) {
  MUST(mkdir("a", 0755));
  MUST(mkdir("b", 0755));
  MUST(mkdir("a/d", 0755));
  EXPECT_OK(rename("a/d", "b/d"));
  EXPECT_EQ(inode_of("b/d/.."), inode_of("b"));
  EXPECT_EQ(links_of("a"), 2u);
  EXPECT_EQ(links_of("b"), 3u);
}

TEST(Renameat2, Noreplace) {
  write_file("a", "A");
  write_file("b", "B");
  EXPECT_ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
}

TEST(Renameat2, Exchange) {
  write_file("a", "A");
  MUST(mkdir("d", 0755));
  EXPECT_OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE));
  EXPECT_EQ(read_file("d"), "A");
  EXPECT_OK(chdir("a"));
  EXPECT_OK(chdir(".."));
  EXPECT_ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "missing", RENAME_EXCHANGE), ENOENT);
  EXPECT_ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
  EXPECT_ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", 0x40), EINVAL);
}

TEST(Rename, OpenFilesFollow) {
  write_file("a", "A");
  UniqueFd fd(MUST(open("a", O_RDONLY)));
  MUST(rename("a", "b"));
  EXPECT_EQ(target_of(("/proc/self/fd/" + std::to_string(fd.get())).c_str()), scratch() + "/b");
}

TEST(Chdir, AndGetcwd) {
  MUST(mkdir("d", 0755));
  EXPECT_OK(chdir("d"));
  char cwd[4096];
  EXPECT_EQ(std::string(getcwd(cwd, sizeof cwd)), scratch() + "/d");
  EXPECT_EQ(syscall(SYS_getcwd, cwd, sizeof cwd), long(scratch().size() + 3));
  EXPECT_ERR(syscall(SYS_getcwd, cwd, 3), ERANGE);
  EXPECT_EQ(target_of("/proc/self/cwd"), scratch() + "/d");
  EXPECT_ERR(chdir("missing"), ENOENT);
  UniqueFd null(MUST(open("/dev/null", O_RDONLY)));
  EXPECT_ERR(fchdir(null.get()), ENOTDIR);
}

TEST(Chdir, DeletedDirectory) {
  MUST(mkdir("d", 0755));
  MUST(chdir("d"));
  MUST(rmdir("../d"));
  char cwd[4096];
  EXPECT_ERR(syscall(SYS_getcwd, cwd, sizeof cwd), ENOENT);
  EXPECT_ERR(open("f", O_CREAT | O_WRONLY, 0600), ENOENT);
  EXPECT_OK(chdir(".."));
}

TEST(Chroot, ConfinesDotDot) {
  NEEDS_CAPABILITY(CAP_SYS_CHROOT);
  MUST(mkdir("root", 0755));
  write_file("root/inside", "x");
  EXPECT_EXITED(run_child([] {
                  EXPECT_OK(chroot("root"));
                  EXPECT_OK(chdir("/"));
                  EXPECT_OK(access("/inside", F_OK));
                  EXPECT_OK(access("/../../inside", F_OK));
                  EXPECT_ERR(access("/tmp", F_OK), ENOENT);
                  char cwd[4096];
                  EXPECT_EQ(std::string(getcwd(cwd, sizeof cwd)), "/");
                }),
                0);
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(chroot("root"), EPERM);
                }),
                0);
}

TEST(Chroot, CwdOutsideIsUnreachable) {
  NEEDS_CAPABILITY(CAP_SYS_CHROOT);
  MUST(mkdir("root", 0755));
  EXPECT_EXITED(run_child([] {
                  MUST(chroot("root"));
                  char cwd[4096] = {};
                  EXPECT_GT(syscall(SYS_getcwd, cwd, sizeof cwd), 0);
                  EXPECT_EQ(std::string(cwd).substr(0, 13), "(unreachable)");
                }),
                0);
}

TEST(Mknod, FifosAndFiles) {
  EXPECT_OK(mknod("fifo", S_IFIFO | 0600, 0));
  EXPECT_OK(mknod("file", S_IFREG | 0600, 0));
  EXPECT_OK(mknod("plain", 0600, 0));
  struct stat info;
  MUST(stat("fifo", &info));
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
  MUST(stat("plain", &info));
  EXPECT_TRUE(S_ISREG(info.st_mode));
  EXPECT_ERR(mknod("file", S_IFIFO, 0), EEXIST);
  EXPECT_ERR(mknod("dir", S_IFDIR | 0755, 0), EPERM);
  EXPECT_ERR(mknod("bad", S_IFMT, 0), EINVAL);
}

TEST(Mknod, DevicesNeedPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(mknod("null", S_IFCHR | 0600, 0x103), EPERM);
                  EXPECT_OK(mkfifo("fifo", 0600));
                }),
                0);
}

TEST(DotDot, AtTheRootStays) {
  EXPECT_EQ(inode_of("/.."), inode_of("/"));
  EXPECT_EQ(inode_of("/../../.."), inode_of("/"));
}

}  // namespace
