// Credentials: user and group ids, groups, capabilities, and what they allow.
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// Runs as an unprivileged user whether or not the program is root.
template <class F>
void as_user(F body) {
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  body();
                }),
                0);
}

struct Caps {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  long get() { return syscall(SYS_capget, &header, data); }
  long set() { return syscall(SYS_capset, &header, data); }
};

TEST(Ids, GetresuidAgrees) {
  uid_t r, e, s;
  EXPECT_OK(getresuid(&r, &e, &s));
  EXPECT_EQ(r, getuid());
  EXPECT_EQ(e, geteuid());
  gid_t rg, eg, sg;
  EXPECT_OK(getresgid(&rg, &eg, &sg));
  EXPECT_EQ(rg, getgid());
  EXPECT_EQ(eg, getegid());
}

TEST(Ids, UserCannotChangeThem) {
  as_user([] {
    EXPECT_ERR(setuid(0), EPERM);
    EXPECT_ERR(setgid(0), EPERM);
    EXPECT_ERR(setresuid(-1, 0, -1), EPERM);
    EXPECT_ERR(setreuid(0, -1), EPERM);
    EXPECT_ERR(setgroups(0, nullptr), EPERM);
    EXPECT_OK(setuid(getuid()));
    EXPECT_OK(setresuid(-1, -1, -1));
  });
}

TEST(Ids, EffectiveMayMoveAmongTheThree) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  MUST(setresuid(1001, 1002, 1003));
                  EXPECT_EQ(getuid(), 1001u);
                  EXPECT_EQ(geteuid(), 1002u);
                  EXPECT_OK(setresuid(-1, 1003, -1));
                  EXPECT_EQ(geteuid(), 1003u);
                  EXPECT_OK(seteuid(1001));
                  EXPECT_ERR(setresuid(1004, -1, -1), EPERM);
                }),
                0);
}

TEST(Ids, SetuidAsRootSetsAllThree) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  MUST(setuid(1001));
                  uid_t r, e, s;
                  MUST(getresuid(&r, &e, &s));
                  EXPECT_EQ(r, 1001u);
                  EXPECT_EQ(e, 1001u);
                  EXPECT_EQ(s, 1001u);
                  EXPECT_ERR(setuid(0), EPERM);
                }),
                0);
}

TEST(Ids, SetreuidUpdatesTheSavedId) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  MUST(setreuid(1001, 1002));
                  uid_t r, e, s;
                  MUST(getresuid(&r, &e, &s));
                  EXPECT_EQ(s, 1002u);
                }),
                0);
}

TEST(Ids, InvalidIdIsEinval) {
  EXPECT_ERR(setuid(-1), EINVAL);
  EXPECT_ERR(setgid(-1), EINVAL);
}

TEST(Ids, FsuidFollowsAndReturnsThePrevious) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  EXPECT_EQ(setfsuid(1001), 0);
                  EXPECT_EQ(setfsuid(-1), 1001);
                  MUST(seteuid(1002));
                  EXPECT_EQ(setfsuid(-1), 1002);
                }),
                0);
}

TEST(Ids, Groups) {
  NEEDS_CAPABILITY(CAP_SETGID);
  EXPECT_EXITED(run_child([] {
                  gid_t groups[3] = {30, 10, 20}, got[3];
                  MUST(setgroups(3, groups));
                  EXPECT_EQ(getgroups(0, nullptr), 3);
                  EXPECT_EQ(getgroups(3, got), 3);
                  EXPECT_EQ(got[0] + got[1] + got[2], 60u);
                  EXPECT_ERR(getgroups(2, got), EINVAL);
                  EXPECT_ERR(setgroups(65537, groups), EINVAL);
                }),
                0);
}

TEST(Ids, OtherThreadsKeepTheirs) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  Thread thread([] { syscall(SYS_setresuid, 1001, 1001, 1001); });
                  thread.join();
                  EXPECT_EQ(syscall(SYS_getuid), 0);
                }),
                0);
}

TEST(Ids, ShownInStatus) {
  std::string uid = std::to_string(getuid());
  EXPECT_EQ(proc_field("/proc/self/status", "Uid").substr(0, uid.size()), uid);
}

TEST(Capabilities, DroppedWithTheUserId) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  MUST(setuid(1001));
                  Caps caps;
                  EXPECT_OK(caps.get());
                  EXPECT_EQ(caps.data[0].effective, 0u);
                  EXPECT_EQ(caps.data[0].permitted, 0u);
                }),
                0);
}

TEST(Capabilities, KeepcapsKeepsThePermitted) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  MUST(prctl(PR_SET_KEEPCAPS, 1));
                  MUST(setuid(1001));
                  Caps caps;
                  EXPECT_OK(caps.get());
                  EXPECT_EQ(caps.data[0].effective, 0u);
                  EXPECT_NE(caps.data[0].permitted, 0u);
                  caps.data[0].effective = caps.data[0].permitted;
                  EXPECT_OK(caps.set());
                  EXPECT_TRUE(has_capability(CAP_CHOWN));
                }),
                0);
}

TEST(Capabilities, EffectiveComesBackWithEuidZero) {
  NEEDS_CAPABILITY(CAP_SETUID);
  EXPECT_EXITED(run_child([] {
                  MUST(seteuid(1001));
                  EXPECT_FALSE(has_capability(CAP_CHOWN));
                  MUST(seteuid(0));
                  EXPECT_TRUE(has_capability(CAP_CHOWN));
                }),
                0);
}

TEST(Capabilities, CannotBeGained) {
  as_user([] {
    Caps caps;
    EXPECT_OK(caps.get());
    caps.data[0].permitted = 1;
    EXPECT_ERR(caps.set(), EPERM);
    caps.data[0].permitted = 0;
    caps.data[0].effective = 1;
    EXPECT_ERR(caps.set(), EPERM);
  });
}

TEST(Capabilities, BadVersionTellsTheRightOne) {
  Caps caps;
  caps.header.version = 0x12345;
  EXPECT_ERR(caps.get(), EINVAL);
  EXPECT_EQ(caps.header.version, unsigned{_LINUX_CAPABILITY_VERSION_3});
  caps.header.version = 0;
  EXPECT_OK(syscall(SYS_capget, &caps.header, nullptr));
}

TEST(Capabilities, BoundingSetDrops) {
  NEEDS_CAPABILITY(CAP_SETPCAP);
  EXPECT_EXITED(run_child([] {
                  EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
                  EXPECT_OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
                  EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
                }),
                0);
}

TEST(Capabilities, AmbientNeedsInheritable) {
  as_user([] {
    EXPECT_ERR(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM);
    EXPECT_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 0);
    EXPECT_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
  });
}

TEST(Permissions, ModeBitsOfTheOwnerAndOthers) {
  as_user([] {
    write_file("f", "x");
    MUST(chmod("f", 0000));
    EXPECT_ERR(open("f", O_RDONLY), EACCES);
    MUST(chmod("f", 0400));
    UniqueFd fd(MUST(open("f", O_RDONLY)));
    EXPECT_ERR(open("f", O_WRONLY), EACCES);
    EXPECT_ERR(access("f", W_OK), EACCES);
    EXPECT_ERR(access("f", X_OK), EACCES);
    EXPECT_OK(access("f", R_OK));
  });
}

TEST(Permissions, OwnerClassComesFirst) {
  as_user([] {
    write_file("f", "x");
    MUST(chmod("f", 0077));
    EXPECT_ERR(open("f", O_RDONLY), EACCES);
  });
}

TEST(Permissions, DirectoriesNeedSearch) {
  as_user([] {
    MUST(mkdir("d", 0755));
    write_file("d/f", "x");
    MUST(chmod("d", 0600));
    EXPECT_ERR(open("d/f", O_RDONLY), EACCES);
    EXPECT_ERR(chdir("d"), EACCES);
    UniqueFd dir(MUST(open("d", O_RDONLY | O_DIRECTORY)));
    MUST(chmod("d", 0500));
    EXPECT_ERR(open("d/g", O_CREAT | O_WRONLY, 0600), EACCES);
    EXPECT_ERR(unlink("d/f"), EACCES);
    MUST(chmod("d", 0700));
  });
}

TEST(Permissions, RootPassesExceptExecute) {
  NEEDS_CAPABILITY(CAP_DAC_OVERRIDE);
  write_file("f", "x");
  MUST(chmod("f", 0000));
  EXPECT_OK(access("f", R_OK | W_OK));
  EXPECT_ERR(access("f", X_OK), EACCES);
  MUST(chmod("f", 0010));
  EXPECT_OK(access("f", X_OK));
}

TEST(Permissions, GroupMembershipCounts) {
  NEEDS_CAPABILITY(CAP_SETGID);
  write_file("f", "x");
  MUST(chown("f", 0, 4242));
  MUST(chmod("f", 0040));
  MUST(chmod(".", 0755));
  EXPECT_EXITED(run_child([] {
                  gid_t group = 4242;
                  MUST(setgroups(1, &group));
                  MUST(setresgid(1001, 1001, 1001));
                  MUST(setresuid(1001, 1001, 1001));
                  EXPECT_OK(access("f", R_OK));
                  EXPECT_ERR(access("f", W_OK), EACCES);
                }),
                0);
}

TEST(Permissions, ChownRules) {
  as_user([] {
    write_file("f", "x");
    EXPECT_ERR(chown("f", 0, -1), EPERM);
    EXPECT_ERR(chown("f", -1, 0), EPERM);
    EXPECT_OK(chown("f", getuid(), getgid()));
    EXPECT_OK(chown("f", -1, -1));
  });
}

TEST(Permissions, ChownClearsSetuidBits) {
  write_file("f", "x");
  MUST(chmod("f", 06755));
  EXPECT_OK(chown("f", getuid(), getgid()));
  struct stat info;
  MUST(stat("f", &info));
  EXPECT_EQ(info.st_mode & 07777, 0755u);
}

TEST(Permissions, ChmodOfAnothersFileIsEperm) {
  NEEDS_CAPABILITY(CAP_SETUID);
  write_file("f", "x");
  as_user([] {
    EXPECT_ERR(chmod("f", 0777), EPERM);
    EXPECT_ERR(utimensat(AT_FDCWD, "f", nullptr, 0), EACCES);
    timespec times[2] = {{1, 0}, {1, 0}};
    EXPECT_ERR(utimensat(AT_FDCWD, "f", times, 0), EPERM);
  });
}

TEST(Permissions, StickyDirectory) {
  NEEDS_CAPABILITY(CAP_SETUID);
  MUST(mkdir("t", 0777));
  MUST(chmod("t", 01777));
  write_file("t/f", "x");
  as_user([] {
    EXPECT_ERR(unlink("t/f"), EPERM);
    EXPECT_ERR(rename("t/f", "t/g"), EPERM);
    write_file("t/mine", "x");
    EXPECT_OK(unlink("t/mine"));
  });
}

TEST(Permissions, SetgidDirectoryPassesItsGroupOn) {
  NEEDS_CAPABILITY(CAP_CHOWN);
  MUST(mkdir("d", 0755));
  MUST(chown("d", -1, 4242));
  MUST(chmod("d", 02755));
  write_file("d/f", "x");
  MUST(mkdir("d/e", 0755));
  struct stat info;
  MUST(stat("d/f", &info));
  EXPECT_EQ(info.st_gid, 4242u);
  MUST(stat("d/e", &info));
  EXPECT_EQ(info.st_gid, 4242u);
  EXPECT_EQ(info.st_mode & 02000, 02000u);
}

TEST(Permissions, AccessUsesRealIds) {
  NEEDS_CAPABILITY(CAP_SETUID);
  write_file("f", "x");
  MUST(chmod("f", 0600));
  MUST(chmod(".", 0755));
  EXPECT_EXITED(run_child([] {
                  MUST(setresuid(1001, 0, 0));
                  EXPECT_ERR(access("f", R_OK), EACCES);
                  EXPECT_OK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
                }),
                0);
}

TEST(Permissions, KillNeedsTheSameUser) {
  NEEDS_CAPABILITY(CAP_SETUID);
  pid_t pid = fork_child([] { pause(); });
  as_user([&] {
    EXPECT_ERR(kill(pid, 0), EPERM);
    EXPECT_ERR(kill(pid, SIGTERM), EPERM);
    pid_t own = fork_child([] { pause(); });
    EXPECT_OK(kill(own, SIGTERM));
    EXPECT_KILLED(wait_for(own), SIGTERM);
  });
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Permissions, SetuidProgramGetsItsOwner) {
  NEEDS_CAPABILITY(CAP_SETUID);
  write_file("program", read_file("/proc/self/exe"));
  MUST(chown("program", 1234, 1234));
  MUST(chmod("program", 04755));
  MUST(chmod(".", 0755));
  int status = run_child([] {
    MUST(setresuid(1001, 1001, 1001));
    execl("./program", "x", "-f", "PermissionsHelper.*", nullptr);
  });
  EXPECT_EXITED(status, 0);
}

TEST(PermissionsHelper, SecureFollowsTheIds) {
  // Run by SetuidProgramGetsItsOwner with euid 1234; by itself there is nothing to see.
  if (getuid() == geteuid()) return;
  uid_t r, e, s;
  MUST(getresuid(&r, &e, &s));
  EXPECT_EQ(e, 1234u);
  EXPECT_EQ(s, 1234u);
  EXPECT_EQ(r, 1001u);
}

}  // namespace
