// mount(2), umount2(2), pivot_root(2), and the namespaces they live in.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// Runs in a mount namespace of its own, from which nothing leaks out.
template <class F>
void in_mount_namespace(F body) {
  EXPECT_EXITED(run_child([&] {
                  MUST(unshare(CLONE_NEWNS));
                  MUST(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
                  body();
                }),
                0);
}

#define NEEDS_MOUNT() NEEDS_CAPABILITY(CAP_SYS_ADMIN)

TEST(Mount, TmpfsHidesWhatIsBelow) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  write_file("d/below", "x");
  in_mount_namespace([] {
    EXPECT_OK(mount("none", "d", "tmpfs", 0, "size=1m"));
    EXPECT_ERR(access("d/below", F_OK), ENOENT);
    write_file("d/above", "x");
    struct statfs info;
    MUST(statfs("d", &info));
    EXPECT_EQ(info.f_type, 0x01021994);
    EXPECT_OK(umount("d"));
    EXPECT_OK(access("d/below", F_OK));
    EXPECT_ERR(access("d/above", F_OK), ENOENT);
  });
}

TEST(Mount, TmpfsSizeIsALimit) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "d", "tmpfs", 0, "size=64k"));
    UniqueFd fd(MUST(open("d/f", O_WRONLY | O_CREAT, 0600)));
    std::string data(100000, 'x');
    ssize_t n = write(fd.get(), data.data(), data.size());
    EXPECT_EQ(n, 65536);
    EXPECT_ERR(write(fd.get(), "y", 1), ENOSPC);
  });
}

TEST(Mount, BindShowsTheSameFiles) {
  NEEDS_MOUNT();
  MUST(mkdir("a", 0755));
  MUST(mkdir("b", 0755));
  write_file("a/f", "hello");
  in_mount_namespace([] {
    EXPECT_OK(mount("a", "b", nullptr, MS_BIND, nullptr));
    EXPECT_EQ(read_file("b/f"), "hello");
    write_file("b/g", "x");
    EXPECT_OK(access("a/g", F_OK));
    EXPECT_ERR(rename("a/f", "b/h"), EXDEV);
    EXPECT_OK(umount("b"));
  });
}

TEST(Mount, BindAFile) {
  NEEDS_MOUNT();
  write_file("a", "A");
  write_file("b", "B");
  in_mount_namespace([] {
    EXPECT_OK(mount("a", "b", nullptr, MS_BIND, nullptr));
    EXPECT_EQ(read_file("b"), "A");
    EXPECT_ERR(unlink("b"), EBUSY);
    EXPECT_OK(umount("b"));
    EXPECT_EQ(read_file("b"), "B");
  });
}

TEST(Mount, ReadOnlyRemount) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "d", "tmpfs", 0, nullptr));
    write_file("d/f", "x");
    EXPECT_OK(mount(nullptr, "d", nullptr, MS_REMOUNT | MS_RDONLY, nullptr));
    EXPECT_ERR(open("d/f", O_WRONLY), EROFS);
    EXPECT_ERR(open("d/g", O_WRONLY | O_CREAT, 0600), EROFS);
    EXPECT_ERR(mkdir("d/e", 0755), EROFS);
    EXPECT_ERR(unlink("d/f"), EROFS);
    EXPECT_ERR(chmod("d/f", 0600), EROFS);
    EXPECT_ERR(access("d/f", W_OK), EROFS);
    EXPECT_EQ(read_file("d/f"), "x");
    EXPECT_OK(mount(nullptr, "d", nullptr, MS_REMOUNT, nullptr));
    write_file("d/f", "y");
  });
}

TEST(Mount, ReadOnlyBind) {
  NEEDS_MOUNT();
  MUST(mkdir("a", 0755));
  MUST(mkdir("b", 0755));
  in_mount_namespace([] {
    MUST(mount("a", "b", nullptr, MS_BIND, nullptr));
    EXPECT_OK(mount(nullptr, "b", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr));
    EXPECT_ERR(open("b/f", O_WRONLY | O_CREAT, 0600), EROFS);
    write_file("a/f", "x");
  });
}

TEST(Mount, RemountKeepsTheRuleForAccessTimes) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "d", "tmpfs", MS_NOATIME, nullptr));
    MUST(mount(nullptr, "d", nullptr, MS_BIND | MS_REMOUNT | MS_NOSUID, nullptr));
    EXPECT_NE(read_file("/proc/self/mountinfo").find("/d rw,nosuid,noatime "), std::string::npos);
    MUST(mount(nullptr, "d", nullptr, MS_BIND | MS_REMOUNT | MS_RELATIME, nullptr));
    EXPECT_NE(read_file("/proc/self/mountinfo").find("/d rw,relatime "), std::string::npos);
  });
}

TEST(Mount, NoexecAndNodev) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "d", "tmpfs", MS_NOEXEC | MS_NODEV, nullptr));
    write_file("d/program", read_file("/proc/self/exe"));
    MUST(chmod("d/program", 0755));
    EXPECT_ERR(execl("d/program", "x", nullptr), EACCES);
    if (mknod("d/null", S_IFCHR | 0666, 0x103) == 0) {
      EXPECT_ERR(open("d/null", O_RDWR), EACCES);
    }
  });
}

TEST(Mount, BusyAndLazyUnmount) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "d", "tmpfs", 0, nullptr));
    write_file("d/f", "hello");
    UniqueFd fd(MUST(open("d/f", O_RDONLY)));
    EXPECT_ERR(umount("d"), EBUSY);
    EXPECT_OK(umount2("d", MNT_DETACH));
    EXPECT_ERR(access("d/f", F_OK), ENOENT);
    char byte;
    EXPECT_EQ(read(fd.get(), &byte, 1), 1);
  });
}

TEST(Mount, StackedMounts) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "d", "tmpfs", 0, nullptr));
    write_file("d/first", "x");
    MUST(mount("none", "d", "tmpfs", 0, nullptr));
    EXPECT_ERR(access("d/first", F_OK), ENOENT);
    EXPECT_OK(umount("d"));
    EXPECT_OK(access("d/first", F_OK));
    EXPECT_OK(umount("d"));
  });
}

TEST(Mount, Errors) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  write_file("f", "x");
  in_mount_namespace([] {
    EXPECT_ERR(mount("none", "missing", "tmpfs", 0, nullptr), ENOENT);
    EXPECT_ERR(mount("none", "f", "tmpfs", 0, nullptr), ENOTDIR);
    EXPECT_ERR(mount("none", "d", "no-such-fs", 0, nullptr), ENODEV);
    EXPECT_ERR(umount("d"), EINVAL);
    EXPECT_ERR(umount2("d", 0x1000), EINVAL);
    EXPECT_ERR(mount("missing", "d", nullptr, MS_BIND, nullptr), ENOENT);
    EXPECT_ERR(mount("f", "d", nullptr, MS_BIND, nullptr), ENOTDIR);
  });
}

TEST(Mount, NeedsPrivilege) {
  MUST(mkdir("d", 0755));
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(mount("none", "d", "tmpfs", 0, nullptr), EPERM);
                  EXPECT_ERR(umount("/proc"), EPERM);
                  EXPECT_ERR(unshare(CLONE_NEWNS), EPERM);
                }),
                0);
}

TEST(Mount, ShownInMountinfo) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("a-source", "d", "tmpfs", MS_NOSUID, nullptr));
    std::string mountinfo = read_file("/proc/self/mountinfo");
    size_t at = mountinfo.find(" " + scratch() + "/d ");
    ASSERT_NE(at, std::string::npos);
    std::string line = mountinfo.substr(at, mountinfo.find('\n', at) - at);
    EXPECT_NE(line.find("nosuid"), std::string::npos);
    EXPECT_NE(line.find("- tmpfs a-source"), std::string::npos);
  });
}

TEST(Mount, Move) {
  NEEDS_MOUNT();
  MUST(mkdir("a", 0755));
  MUST(mkdir("b", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    write_file("a/f", "x");
    EXPECT_OK(mount("a", "b", nullptr, MS_MOVE, nullptr));
    EXPECT_OK(access("b/f", F_OK));
    EXPECT_ERR(access("a/f", F_OK), ENOENT);
  });
}

TEST(MountNamespace, ChangesStayInside) {
  NEEDS_MOUNT();
  MUST(mkdir("d", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "d", "tmpfs", 0, nullptr));
    write_file("d/inside", "x");
  });
  EXPECT_ERR(access("d/inside", F_OK), ENOENT);
}

TEST(PivotRoot, ReplacesTheRoot) {
  NEEDS_MOUNT();
  MUST(mkdir("root", 0755));
  in_mount_namespace([] {
    MUST(mount("none", "root", "tmpfs", 0, nullptr));
    MUST(mkdir("root/old", 0755));
    write_file("root/new-file", "x");
    EXPECT_OK(syscall(SYS_pivot_root, "root", "root/old"));
    MUST(chdir("/"));
    EXPECT_OK(access("/new-file", F_OK));
    EXPECT_OK(access("/old/proc", F_OK));
    EXPECT_OK(umount2("/old", MNT_DETACH));
    EXPECT_ERR(access("/old/proc", F_OK), ENOENT);
  });
}

TEST(PivotRoot, Errors) {
  NEEDS_MOUNT();
  MUST(mkdir("plain", 0755));
  in_mount_namespace([] {
    EXPECT_ERR(syscall(SYS_pivot_root, "plain", "plain"), EBUSY);
    EXPECT_ERR(syscall(SYS_pivot_root, "missing", "plain"), ENOENT);
  });
}

TEST(PidNamespace, FirstProcessIsOne) {
  NEEDS_MOUNT();
  EXPECT_EXITED(run_child([] {
                  MUST(unshare(CLONE_NEWPID));
                  pid_t pid = fork_child([] {
                    EXPECT_EQ(getpid(), 1);
                    EXPECT_EQ(getppid(), 0);
                    pid_t inner = fork_child([] { EXPECT_EQ(getppid(), 1); });
                    EXPECT_EQ(inner, 2);
                    EXPECT_EXITED(wait_for(inner), 0);
                  });
                  EXPECT_GT(pid, 1);
                  EXPECT_EXITED(wait_for(pid), 0);
                }),
                0);
}

TEST(PidNamespace, EndsWithItsInit) {
  NEEDS_MOUNT();
  int fds[2];
  MUST(pipe(fds));
  EXPECT_EXITED(run_child([&] {
                  MUST(unshare(CLONE_NEWPID));
                  pid_t init = fork_child([&] {
                    fork_child([&] { pause(); });
                    _exit(3);
                  });
                  EXPECT_EXITED(wait_for(init), 3);
                  EXPECT_ERR(fork(), ENOMEM);
                }),
                0);
  close(fds[1]);
  char byte;
  EXPECT_EQ(read(fds[0], &byte, 1), 0);  // The paused one is gone, too.
}

// Nobody else is left to wait for them.
TEST(PidNamespace, EndsWithWhatItsInitIsGivenWhileItEnds) {
  NEEDS_MOUNT();
  EXPECT_EXITED(run_child([] {
                  MUST(unshare(CLONE_NEWPID));
                  pid_t init = fork_child([] {
                    int fds[2];
                    MUST(pipe(fds));
                    fork_child([&] {
                      fork_child([&] {
                        close(fds[0]);
                        MUST(write(fds[1], "x", 1));
                        pause();
                      });
                      pause();
                    });
                    char byte;
                    EXPECT_EQ(read(fds[0], &byte, 1), 1);
                    _exit(3);
                  });
                  EXPECT_EXITED(wait_for(init), 3);
                }),
                0);
}

TEST(PidNamespace, EndsWithThoseWithinIt) {
  NEEDS_MOUNT();
  EXPECT_EXITED(run_child([] {
                  MUST(unshare(CLONE_NEWPID));
                  pid_t init = fork_child([] {
                    int fds[2];
                    MUST(pipe(fds));
                    fork_child([&] {
                      MUST(unshare(CLONE_NEWPID));
                      fork_child([&] {
                        fork_child([&] {
                          MUST(write(fds[1], "x", 1));
                          pause();
                        });
                        pause();
                      });
                      pause();
                    });
                    char byte;
                    EXPECT_EQ(read(fds[0], &byte, 1), 1);
                    _exit(3);
                  });
                  EXPECT_EXITED(wait_for(init), 3);
                }),
                0);
}

TEST(PidNamespace, InitIsProtectedFromItsOwn) {
  NEEDS_MOUNT();
  EXPECT_EXITED(run_child([] {
                  MUST(unshare(CLONE_NEWPID));
                  pid_t init = fork_child([] {
                    EXPECT_OK(kill(1, SIGTERM));
                    EXPECT_OK(kill(1, SIGKILL));
                    _exit(5);
                  });
                  EXPECT_EXITED(wait_for(init), 5);
                }),
                0);
}

TEST(UserNamespace, MapsIds) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  uid_t outside = getuid();
                  if (unshare(CLONE_NEWUSER) != 0) return;  // Some machines forbid it.
                  EXPECT_EQ(getuid(), 65534u);
                  EXPECT_TRUE(has_capability(CAP_SYS_ADMIN));
                  prctl(PR_SET_DUMPABLE, 1);  // Else /proc/self belongs to root.
                  write_file("/proc/self/uid_map", "0 " + std::to_string(outside) + " 1");
                  EXPECT_EQ(getuid(), 0u);
                  EXPECT_OK(unshare(CLONE_NEWNS));
                }),
                0);
}

TEST(Setns, RejoinsANamespace) {
  NEEDS_MOUNT();
  UniqueFd before(MUST(open("/proc/self/ns/uts", O_RDONLY)));
  EXPECT_EXITED(run_child([&] {
                  char old_name[64], name[64];
                  MUST(gethostname(old_name, sizeof old_name));
                  MUST(unshare(CLONE_NEWUTS));
                  MUST(sethostname("temporary", 9));
                  EXPECT_OK(setns(before.get(), CLONE_NEWUTS));
                  MUST(gethostname(name, sizeof name));
                  EXPECT_EQ(std::string(name), std::string(old_name));
                  EXPECT_ERR(setns(before.get(), CLONE_NEWNS), EINVAL);
                  UniqueFd null(MUST(open("/dev/null", O_RDONLY)));
                  EXPECT_ERR(setns(null.get(), 0), EINVAL);
                }),
                0);
}

}  // namespace
