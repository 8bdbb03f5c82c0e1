// mount_namespaces(7): shared subtrees.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// Runs in a mount namespace of its own with directories a, b, c and d, where a is a tmpfs of
// its own mount.
template <class F>
void in_mount_namespace(F body) {
  for (const char* dir : {"a", "b", "c", "d"}) MUST(mkdir(dir, 0755));
  EXPECT_EXITED(run_child([&] {
                  MUST(unshare(CLONE_NEWNS));
                  MUST(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
                  MUST(mount("tmpfs-a", "a", "tmpfs", 0, nullptr));
                  MUST(mkdir("a/x", 0755));
                  MUST(mkdir("a/y", 0755));
                  body();
                }),
                0);
}

#define NEEDS_MOUNT() NEEDS_CAPABILITY(CAP_SYS_ADMIN)

void set_type(const char* path, unsigned long type) {
  MUST(mount(nullptr, path, nullptr, type, nullptr));
}
void mount_tmpfs(const char* path) { MUST(mount("none", path, "tmpfs", 0, nullptr)); }
void bind(const char* from, const char* to, unsigned long flags = 0) {
  MUST(mount(from, to, nullptr, MS_BIND | flags, nullptr));
}

// The optional fields of the topmost mount at `path` in mountinfo: "shared:1 master:2".
std::string fields(const std::string& path) {
  const std::string info = read_file("/proc/self/mountinfo");
  const size_t at = info.rfind(" " + scratch() + "/" + path + " ");
  if (at == std::string::npos) return "not mounted";
  const size_t end = info.find(" - ", at);
  std::string line = info.substr(at, end - at);
  size_t space = 0;
  for (int i = 0; i < 2 && space != std::string::npos; i++) space = line.find(' ', space + 1);
  return space == std::string::npos ? "" : line.substr(space);
}
// What stands behind `key` among them, or "".
std::string field(const std::string& path, const std::string& key) {
  const std::string all = fields(path) + " ";
  const size_t at = all.find(" " + key + ":");
  if (at == std::string::npos) return "";
  const size_t from = at + key.size() + 2;
  return all.substr(from, all.find(' ', from) - from);
}
bool is_mounted(const std::string& path) { return fields(path) != "not mounted"; }

TEST(Propagation, PeersSeeMountsAndUnmounts) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    EXPECT_NE(field("a", "shared"), "");
    EXPECT_EQ(field("a", "shared"), field("b", "shared"));
    mount_tmpfs("b/x");
    EXPECT_TRUE(is_mounted("a/x"));
    write_file("b/x/f", "hello");
    EXPECT_EQ(read_file("a/x/f"), "hello");
    EXPECT_EQ(field("a/x", "shared"), field("b/x", "shared"));
    EXPECT_NE(field("a/x", "shared"), field("a", "shared"));
    EXPECT_OK(umount("a/x"));
    EXPECT_FALSE(is_mounted("b/x"));
  });
}

TEST(Propagation, PrivateOnesKeepToThemselves) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    bind("a", "b");
    EXPECT_EQ(fields("a"), "");
    mount_tmpfs("b/x");
    EXPECT_FALSE(is_mounted("a/x"));
    set_type("a", MS_SHARED);
    bind("a", "c");
    set_type("c", MS_PRIVATE);
    EXPECT_EQ(fields("c"), "");
    mount_tmpfs("a/x");
    EXPECT_FALSE(is_mounted("c/x"));
  });
}

TEST(Propagation, SlavesFollowOnly) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    set_type("b", MS_SLAVE);
    EXPECT_EQ(field("b", "master"), field("a", "shared"));
    EXPECT_EQ(field("b", "shared"), "");
    mount_tmpfs("a/x");
    EXPECT_TRUE(is_mounted("b/x"));
    EXPECT_EQ(field("b/x", "master"), field("a/x", "shared"));
    EXPECT_EQ(field("b/x", "shared"), "");
    mount_tmpfs("b/y");
    EXPECT_FALSE(is_mounted("a/y"));
    EXPECT_OK(umount("a/x"));
    EXPECT_FALSE(is_mounted("b/x"));
  });
}

TEST(Propagation, SharedSlaves) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    set_type("b", MS_SLAVE);
    set_type("b", MS_SHARED);
    EXPECT_NE(field("b", "shared"), "");
    EXPECT_NE(field("b", "shared"), field("a", "shared"));
    EXPECT_EQ(field("b", "master"), field("a", "shared"));
    bind("b", "c");
    EXPECT_EQ(field("c", "shared"), field("b", "shared"));
    EXPECT_EQ(field("c", "master"), field("a", "shared"));
    mount_tmpfs("a/x");
    EXPECT_EQ(field("b/x", "shared"), field("c/x", "shared"));
    EXPECT_NE(field("b/x", "shared"), "");
    EXPECT_EQ(field("b/x", "master"), field("a/x", "shared"));
    EXPECT_EQ(field("c/x", "master"), field("a/x", "shared"));
    mount_tmpfs("b/y");
    EXPECT_TRUE(is_mounted("c/y"));
    EXPECT_FALSE(is_mounted("a/y"));
  });
}

TEST(Propagation, SlaveOfASlave) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    set_type("b", MS_SLAVE);
    set_type("b", MS_SHARED);
    bind("b", "c");
    set_type("c", MS_SLAVE);
    EXPECT_EQ(field("c", "master"), field("b", "shared"));
    mount_tmpfs("a/x");
    EXPECT_EQ(field("c/x", "master"), field("b/x", "shared"));
    // Without the one between, it follows the first.
    set_type("b", MS_PRIVATE);
    EXPECT_EQ(field("c", "master"), field("a", "shared"));
    mount_tmpfs("a/y");
    EXPECT_TRUE(is_mounted("c/y"));
    EXPECT_FALSE(is_mounted("b/y"));
  });
}

TEST(Propagation, LastPeerLeavesItsSlaves) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    set_type("b", MS_SLAVE);
    set_type("a", MS_PRIVATE);
    EXPECT_EQ(fields("b"), "");
    // Nobody to follow: a slave of nobody is private.
    set_type("a", MS_SLAVE);
    EXPECT_EQ(fields("a"), "");
    set_type("a", MS_SHARED);
    set_type("a", MS_SLAVE);
    EXPECT_EQ(fields("a"), "");
  });
}

TEST(Propagation, OnlyWhereThePlaceIsSeen) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    MUST(mkdir("a/x/in", 0755));
    bind("a/x", "b");
    mount_tmpfs("a/y");
    EXPECT_FALSE(is_mounted("b/y"));
    mount_tmpfs("a/x/in");
    EXPECT_TRUE(is_mounted("b/in"));
  });
}

TEST(Propagation, BindsPropagateWithWhatIsBelow) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    mount_tmpfs("c");
    MUST(mkdir("c/sub", 0755));
    mount_tmpfs("c/sub");
    bind("c", "a/x", MS_REC);
    EXPECT_TRUE(is_mounted("b/x"));
    EXPECT_TRUE(is_mounted("b/x/sub"));
    EXPECT_EQ(field("b/x/sub", "shared"), field("a/x/sub", "shared"));
    EXPECT_EQ(fields("c"), "");
    EXPECT_ERR(umount("a/x"), EBUSY);
    EXPECT_OK(umount2("a/x", MNT_DETACH));
    EXPECT_FALSE(is_mounted("b/x"));
    EXPECT_FALSE(is_mounted("b/x/sub"));
  });
}

TEST(Propagation, MovesPropagate) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    mount_tmpfs("c");
    write_file("c/f", "moved");
    EXPECT_OK(mount("c", "a/x", nullptr, MS_MOVE, nullptr));
    EXPECT_EQ(read_file("b/x/f"), "moved");
    EXPECT_FALSE(is_mounted("c"));
    EXPECT_ERR(mount("a/x", "d", nullptr, MS_MOVE, nullptr), EINVAL);  // Under a shared parent.
  });
}

TEST(Propagation, Unbindable) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_UNBINDABLE);
    EXPECT_EQ(fields("a"), " unbindable");
    EXPECT_ERR(mount("a", "b", nullptr, MS_BIND, nullptr), EINVAL);
    EXPECT_ERR(mount("a/x", "b", nullptr, MS_BIND, nullptr), EINVAL);
    mount_tmpfs("b");
    MUST(mkdir("b/sub", 0755));
    mount_tmpfs("b/sub");
    set_type("b/sub", MS_UNBINDABLE);
    bind("b", "c", MS_REC);
    EXPECT_FALSE(is_mounted("c/sub"));
    // It may move, but not to where it would have to be copied.
    EXPECT_OK(mount("a", "d", nullptr, MS_MOVE, nullptr));
    set_type("c", MS_SHARED);
    MUST(mkdir("c/to", 0755));
    EXPECT_ERR(mount("d", "c/to", nullptr, MS_MOVE, nullptr), EINVAL);
    set_type("d", MS_PRIVATE);
    EXPECT_EQ(fields("d"), "");
    EXPECT_OK(mount("d", "c/to", nullptr, MS_MOVE, nullptr));
  });
}

TEST(Propagation, RecursiveChange) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    mount_tmpfs("a/x");
    set_type("a", MS_SHARED);
    EXPECT_EQ(fields("a/x"), "");
    set_type("a", MS_SHARED | MS_REC);
    EXPECT_NE(field("a/x", "shared"), "");
    set_type("a", MS_PRIVATE | MS_REC);
    EXPECT_EQ(fields("a"), "");
    EXPECT_EQ(fields("a/x"), "");
  });
}

TEST(Propagation, Errors) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    EXPECT_ERR(mount(nullptr, "a/x", nullptr, MS_SHARED, nullptr), EINVAL);
    EXPECT_ERR(mount(nullptr, "a", nullptr, MS_SHARED | MS_PRIVATE, nullptr), EINVAL);
    EXPECT_ERR(mount(nullptr, "a", nullptr, MS_SHARED | MS_RDONLY, nullptr), EINVAL);
    EXPECT_ERR(mount(nullptr, "missing", nullptr, MS_SHARED, nullptr), ENOENT);
  });
}

TEST(Propagation, CopyInUseKeepsTheMountBusy) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    mount_tmpfs("a/x");
    write_file("a/x/f", "x");
    {
      UniqueFd fd(MUST(open("b/x/f", O_RDONLY)));
      EXPECT_ERR(umount("a/x"), EBUSY);
    }
    EXPECT_OK(umount("a/x"));
  });
}

TEST(Propagation, CopyWithMountsOnItStays) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    mount_tmpfs("a/x");
    set_type("b/x", MS_PRIVATE);
    MUST(mkdir("b/x/deep", 0755));
    mount_tmpfs("b/x/deep");
    EXPECT_OK(umount("a/x"));
    EXPECT_FALSE(is_mounted("a/x"));
    EXPECT_TRUE(is_mounted("b/x"));
  });
}

TEST(Propagation, SlipsUnderWhatStandsThere) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "b");
    set_type("b", MS_SLAVE);
    mount_tmpfs("b/x");
    write_file("b/x/own", "own");
    mount_tmpfs("a/x");
    EXPECT_EQ(read_file("b/x/own"), "own");
    EXPECT_OK(umount("b/x"));
    EXPECT_TRUE(is_mounted("b/x"));
    EXPECT_ERR(access("b/x/own", F_OK), ENOENT);
    EXPECT_OK(umount("a/x"));
    EXPECT_FALSE(is_mounted("b/x"));
  });
}

TEST(Propagation, ReachesClonedNamespaces) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    bind("a", "c");
    set_type("c", MS_PRIVATE);
    int ready[2], go[2];
    MUST(pipe(ready));
    MUST(pipe(go));
    const std::string group = field("a", "shared");
    pid_t child = fork_child([&] {
      MUST(unshare(CLONE_NEWNS));
      EXPECT_EQ(field("a", "shared"), group);
      MUST(write(ready[1], "x", 1));
      char byte;
      MUST(read(go[0], &byte, 1));
      EXPECT_TRUE(is_mounted("a/x"));
      EXPECT_FALSE(is_mounted("c/x"));
      mount_tmpfs("a/y");
    });
    char byte;
    MUST(read(ready[0], &byte, 1));
    mount_tmpfs("a/x");
    MUST(mount("none", "c/x", "tmpfs", 0, nullptr));
    MUST(umount("c/x"));
    MUST(write(go[1], "x", 1));
    EXPECT_EXITED(wait_for(child), 0);
    EXPECT_TRUE(is_mounted("a/y"));
  });
}

TEST(Propagation, LessPrivilegedNamespacesAreSlaves) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    mount_tmpfs("c");
    MUST(mkdir("c/sub", 0755));
    mount_tmpfs("c/sub");
    MUST(mount(nullptr, "c", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr));
    const std::string group = field("a", "shared");
    pid_t child = fork_child([&] {
      if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return;  // Some machines forbid it.
      EXPECT_EQ(field("a", "shared"), "");
      EXPECT_EQ(field("a", "master"), group);
      EXPECT_ERR(umount("c/sub"), EINVAL);  // What it hides stays hidden.
      EXPECT_ERR(mount("c", "d", nullptr, MS_BIND, nullptr), EINVAL);
      EXPECT_OK(mount("c", "d", nullptr, MS_BIND | MS_REC, nullptr));
      EXPECT_ERR(umount("d/sub"), EINVAL);
      EXPECT_ERR(mount(nullptr, "c", nullptr, MS_REMOUNT | MS_BIND, nullptr), EPERM);
      EXPECT_OK(umount2("d", MNT_DETACH));
    });
    EXPECT_EXITED(wait_for(child), 0);
  });
}

TEST(Propagation, ShowsTheNearestGroupInView) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mkdir("a/x/proc", 0755));
    MUST(mkdir("a/x/in", 0755));
    mount_tmpfs("c");  // The view: only what is below c.
    MUST(mkdir("c/top", 0755));
    MUST(mkdir("c/end", 0755));
    MUST(mkdir("c/proc", 0755));
    bind("/proc", "c/proc");
    set_type("a", MS_SHARED);
    bind("a", "c/top");  // In view: a peer of the first group.
    bind("a", "b");
    set_type("b", MS_SLAVE);
    set_type("b", MS_SHARED);
    bind("b", "c/end");
    set_type("c/end", MS_SLAVE);
    const std::string top = field("a", "shared"), middle = field("b", "shared");
    EXPECT_EXITED(run_child([&] {
                    MUST(chroot("c"));
                    MUST(chdir("/"));
                    const std::string info = read_file("/proc/self/mountinfo");
                    EXPECT_NE(info.find(" master:" + middle + " propagate_from:" + top + " - "),
                              std::string::npos);
                  }),
                  0);
  });
}

TEST(MountNamespace, OthersMountsDoNotHoldANameBack) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    int ready[2], go[2];
    MUST(pipe(ready));
    MUST(pipe(go));
    pid_t child = fork_child([&] {
      MUST(unshare(CLONE_NEWNS));
      mount_tmpfs("a/x");
      MUST(mkdir("a/x/below", 0755));
      mount_tmpfs("a/x/below");
      mount_tmpfs("a/y");
      write_file("a/y/f", "");
      mount_tmpfs("c");
      MUST(write(ready[1], "x", 1));
      char byte;
      MUST(read(go[0], &byte, 1));
      EXPECT_OK(access("a/moved/f", F_OK));  // It went with its place.
      EXPECT_FALSE(is_mounted("c"));
      EXPECT_ERR(access("a/x", F_OK), ENOENT);
      EXPECT_FALSE(is_mounted("a/x"));
    });
    char byte;
    MUST(read(ready[0], &byte, 1));
    EXPECT_OK(rmdir("a/x"));
    EXPECT_OK(rename("a/y", "a/moved"));
    EXPECT_OK(rename("d", "c"));
    MUST(write(go[1], "x", 1));
    EXPECT_EXITED(wait_for(child), 0);
    mount_tmpfs("a/moved");
    EXPECT_ERR(rmdir("a/moved"), EBUSY);
    EXPECT_ERR(rename("a/moved", "a/again"), EBUSY);
  });
}

TEST(PivotRoot, NotFromUnderASharedMount) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    set_type("a", MS_SHARED);
    mount_tmpfs("a/x");
    MUST(mkdir("a/x/old", 0755));
    EXPECT_ERR(syscall(SYS_pivot_root, "a/x", "a/x/old"), EINVAL);
  });
}

}  // namespace
