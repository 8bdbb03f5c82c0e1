// fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2), statmount(2),
// listmount(2).
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <vector>

#include "tests/guest/harness.h"

// <sys/mount.h> and <linux/mount.h> exclude each other.
extern "C" int mount(const char*, const char*, const char*, unsigned long, const void*);
extern "C" int umount2(const char*, int);

namespace {

using namespace guest;

constexpr unsigned long kShared = 1 << 20, kPrivate = 1 << 18, kRecursive = 16384;
constexpr int kDetach = 2;

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH 0x200
#endif
constexpr unsigned kAtRecursive = 0x8000;

int open_tree(int dir, const char* path, unsigned flags) {
  return int(syscall(428, dir, path, flags));
}
int move_mount(int from, const char* from_path, int to, const char* to_path, unsigned flags) {
  return int(syscall(429, from, from_path, to, to_path, flags));
}
int fsopen(const char* type, unsigned flags) { return int(syscall(430, type, flags)); }
int fsconfig(int fd, unsigned command, const char* key, const void* value, int aux) {
  return int(syscall(431, fd, command, key, value, aux));
}
int fsmount(int fd, unsigned flags, unsigned attributes) {
  return int(syscall(432, fd, flags, attributes));
}
int fspick(int dir, const char* path, unsigned flags) {
  return int(syscall(433, dir, path, flags));
}
int mount_setattr(int dir, const char* path, unsigned flags, mount_attr attributes) {
  return int(syscall(442, dir, path, flags, &attributes, sizeof attributes));
}
int set_string(int fd, const char* key, const char* value) {
  return fsconfig(fd, FSCONFIG_SET_STRING, key, value, 0);
}
int create(int fd) { return fsconfig(fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0); }

// Runs in a mount namespace of its own with empty directories a, b and c.
template <class F>
void in_mount_namespace(F body) {
  for (const char* dir : {"a", "b", "c"}) MUST(mkdir(dir, 0755));
  EXPECT_EXITED(run_child([&] {
                  MUST(unshare(CLONE_NEWNS));
                  MUST(mount(nullptr, "/", nullptr, kRecursive | kPrivate, nullptr));
                  body();
                }),
                0);
}

#define NEEDS_MOUNT() NEEDS_CAPABILITY(CAP_SYS_ADMIN)

UniqueFd detached_tmpfs(unsigned attributes = 0) {
  UniqueFd context(MUST(fsopen("tmpfs", 0)));
  MUST(create(context.get()));
  return UniqueFd(MUST(fsmount(context.get(), FSMOUNT_CLOEXEC, attributes)));
}

// The line of mountinfo of what stands at `path`, or "".
std::string info_of(const std::string& path) {
  const std::string info = read_file("/proc/self/mountinfo");
  const size_t at = info.find(" " + scratch() + "/" + path + " ");
  if (at == std::string::npos) return "";
  return info.substr(at, info.find('\n', at) - at);
}

TEST(Fsmount, MakesAndMountsATmpfs) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    UniqueFd context(MUST(fsopen("tmpfs", FSOPEN_CLOEXEC)));
    EXPECT_EQ(fcntl(context.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_OK(set_string(context.get(), "source", "my-source"));
    EXPECT_OK(set_string(context.get(), "size", "64k"));
    EXPECT_OK(set_string(context.get(), "mode", "0711"));
    EXPECT_ERR(fsmount(context.get(), 0, 0), EINVAL);  // Nothing was made yet.
    EXPECT_OK(create(context.get()));
    EXPECT_ERR(create(context.get()), EBUSY);
    UniqueFd tree(MUST(fsmount(context.get(), 0, MOUNT_ATTR_NOSUID)));
    EXPECT_ERR(fsmount(context.get(), 0, 0), EBUSY);  // It was taken.
    struct stat st;
    MUST(fstat(tree.get(), &st));
    EXPECT_EQ(st.st_mode, uint32_t(S_IFDIR | 0711));
    // It can be used before it stands anywhere.
    UniqueFd file(MUST(openat(tree.get(), "f", O_CREAT | O_WRONLY, 0600)));
    EXPECT_OK(move_mount(tree.get(), "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH));
    EXPECT_OK(access("a/f", F_OK));
    const std::string line = info_of("a");
    EXPECT_NE(line.find("nosuid"), std::string::npos);
    EXPECT_NE(line.find("- tmpfs my-source"), std::string::npos);
    EXPECT_NE(line.find("size=64k"), std::string::npos);
  });
}

TEST(Fsmount, GoesWithItsDescriptor) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    UniqueFd tree = detached_tmpfs();
    UniqueFd dir(MUST(openat(tree.get(), ".", O_RDONLY | O_DIRECTORY)));
    tree.reset();
    // What was opened in it stays; it cannot be mounted any more.
    struct stat st;
    EXPECT_OK(fstat(dir.get(), &st));
    EXPECT_ERR(move_mount(dir.get(), "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
  });
}

TEST(Fsmount, Errors) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    EXPECT_ERR(fsopen("no-such-fs", 0), ENODEV);
    EXPECT_ERR(fsopen("tmpfs", 2), EINVAL);
    UniqueFd context(MUST(fsopen("tmpfs", 0)));
    const int fd = context.get();
    EXPECT_ERR(fsmount(fd, 2, 0), EINVAL);
    EXPECT_ERR(fsmount(fd, 0, 0x100), EINVAL);
    EXPECT_ERR(fsmount(fd, 0, 0x30), EINVAL);
    EXPECT_ERR(fsmount(0, 0, 0), EINVAL);
    EXPECT_ERR(fsmount(-1, 0, 0), EBADF);
    EXPECT_ERR(fsconfig(fd, 77, nullptr, nullptr, 0), EOPNOTSUPP);
    EXPECT_ERR(fsconfig(-1, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), EINVAL);
    EXPECT_ERR(fsconfig(0, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), EINVAL);
    EXPECT_ERR(fsconfig(fd, FSCONFIG_SET_FLAG, "ro", "x", 0), EINVAL);
    EXPECT_ERR(fsconfig(fd, FSCONFIG_SET_FLAG, nullptr, nullptr, 0), EINVAL);
    EXPECT_ERR(fsconfig(fd, FSCONFIG_CMD_CREATE, "x", nullptr, 0), EINVAL);
    EXPECT_ERR(fsconfig(fd, FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0), EBUSY);
    EXPECT_ERR(set_string(fd, "no-such-option", "1"), EINVAL);
    EXPECT_ERR(set_string(fd, "mode", "999"), EINVAL);
    EXPECT_OK(set_string(fd, "source", "one"));
    EXPECT_ERR(set_string(fd, "source", "two"), EINVAL);
  });
}

TEST(Fsmount, SaysWhatWentWrong) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    UniqueFd context(MUST(fsopen("tmpfs", 0)));
    char text[200];
    EXPECT_ERR(read(context.get(), text, sizeof text), ENODATA);
    EXPECT_ERR(fsconfig(context.get(), FSCONFIG_SET_FLAG, "no-such-flag", nullptr, 0), EINVAL);
    const ssize_t n = MUST(read(context.get(), text, sizeof text));
    EXPECT_EQ(std::string(text, size_t(n)).substr(0, 9), "e tmpfs: ");
    EXPECT_NE(std::string(text, size_t(n)).find("no-such-flag"), std::string::npos);
    EXPECT_ERR(read(context.get(), text, sizeof text), ENODATA);
  });
}

TEST(Fspick, ChangesWhatIsMounted) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, "size=1m"));
    EXPECT_ERR(fspick(AT_FDCWD, "b", 0), EINVAL);
    EXPECT_ERR(fspick(AT_FDCWD, "a", 0x100), EINVAL);
    UniqueFd context(MUST(fspick(AT_FDCWD, "a", FSPICK_CLOEXEC)));
    EXPECT_OK(set_string(context.get(), "size", "2m"));
    EXPECT_OK(fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0));
    struct statfs info;
    MUST(statfs("a", &info));
    EXPECT_EQ(info.f_blocks, 512u);
    EXPECT_OK(fsconfig(context.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0));
    EXPECT_OK(fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0));
    EXPECT_ERR(open("a/f", O_CREAT | O_WRONLY, 0600), EROFS);
    EXPECT_OK(fsconfig(context.get(), FSCONFIG_SET_FLAG, "rw", nullptr, 0));
    EXPECT_OK(fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0));
    write_file("a/f", "x");
    UniqueFd writer(MUST(open("a/f", O_WRONLY)));
    EXPECT_OK(fsconfig(context.get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0));
    EXPECT_ERR(fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0), EBUSY);
  });
}

TEST(OpenTree, ClonesLikeABind) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    MUST(mkdir("a/sub", 0755));
    MUST(mount("none", "a/sub", "tmpfs", 0, nullptr));
    write_file("a/sub/f", "x");
    UniqueFd flat(MUST(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE)));
    EXPECT_ERR(faccessat(flat.get(), "sub/f", F_OK, 0), ENOENT);
    UniqueFd deep(
        MUST(open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | kAtRecursive)));
    EXPECT_EQ(fcntl(deep.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_OK(faccessat(deep.get(), "sub/f", F_OK, 0));
    EXPECT_EQ(info_of("b"), "");
    EXPECT_OK(move_mount(deep.get(), "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH));
    EXPECT_EQ(read_file("b/sub/f"), "x");
    // Once mounted it stays when the descriptor goes.
    deep.reset();
    EXPECT_EQ(read_file("b/sub/f"), "x");
  });
}

TEST(OpenTree, WithoutCloneIsAPlace) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    write_file("a/f", "x");
    UniqueFd place(MUST(open_tree(AT_FDCWD, "a", 0)));
    char byte;
    EXPECT_ERR(read(place.get(), &byte, 1), EBADF);
    EXPECT_OK(faccessat(place.get(), "f", F_OK, 0));
    // It names the mount itself, which can be moved.
    EXPECT_OK(move_mount(place.get(), "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH));
    EXPECT_OK(access("b/f", F_OK));
    EXPECT_ERR(access("a/f", F_OK), ENOENT);
    EXPECT_ERR(open_tree(AT_FDCWD, "a", kAtRecursive), EINVAL);
    EXPECT_ERR(open_tree(AT_FDCWD, "a", 0x40), EINVAL);
    EXPECT_ERR(open_tree(AT_FDCWD, "missing", OPEN_TREE_CLONE), ENOENT);
  });
}

TEST(MoveMount, Errors) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    EXPECT_ERR(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", 0), EINVAL);  // No mount.
    EXPECT_ERR(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", 0x8), EINVAL);
    EXPECT_ERR(move_mount(AT_FDCWD, "", AT_FDCWD, "b", 0), ENOENT);
    UniqueFd tree = detached_tmpfs();
    EXPECT_ERR(move_mount(tree.get(), "", AT_FDCWD, "missing", MOVE_MOUNT_F_EMPTY_PATH), ENOENT);
    write_file("file", "");
    EXPECT_ERR(move_mount(tree.get(), "", AT_FDCWD, "file", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
    EXPECT_OK(move_mount(tree.get(), "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH));
    MUST(mkdir("a/in", 0755));
    EXPECT_ERR(move_mount(AT_FDCWD, "a", AT_FDCWD, "a/in", 0), ELOOP);
  });
}

TEST(MoveMount, Beneath) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    write_file("a/over", "x");
    UniqueFd tree = detached_tmpfs();
    close(MUST(openat(tree.get(), "under", O_CREAT | O_WRONLY, 0600)));
    EXPECT_ERR(
        move_mount(tree.get(), "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_BENEATH),
        EINVAL);
    EXPECT_OK(
        move_mount(tree.get(), "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_BENEATH));
    EXPECT_OK(access("a/over", F_OK));
    EXPECT_OK(umount2("a", 0));
    EXPECT_OK(access("a/under", F_OK));
    tree.reset();
    EXPECT_OK(umount2("a", 0));
  });
}

TEST(MoveMount, SetGroup) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    MUST(mkdir("a/x", 0755));
    MUST(mount("a", "b", nullptr, 4096, nullptr));
    MUST(mount(nullptr, "a", nullptr, kShared, nullptr));
    EXPECT_OK(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP));
    MUST(mount("none", "a/x", "tmpfs", 0, nullptr));
    EXPECT_NE(info_of("b/x"), "");
    EXPECT_ERR(move_mount(AT_FDCWD, "a", AT_FDCWD, "b", MOVE_MOUNT_SET_GROUP), EINVAL);
  });
}

TEST(MountSetattr, FlagsOfOneAndOfAll) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    MUST(mkdir("a/sub", 0755));
    MUST(mount("none", "a/sub", "tmpfs", 0, nullptr));
    EXPECT_OK(mount_setattr(AT_FDCWD, "a", 0, {.attr_set = MOUNT_ATTR_NOEXEC}));
    EXPECT_NE(info_of("a").find("noexec"), std::string::npos);
    EXPECT_EQ(info_of("a/sub").find("noexec"), std::string::npos);
    EXPECT_OK(mount_setattr(AT_FDCWD, "a", kAtRecursive, {.attr_set = MOUNT_ATTR_RDONLY}));
    EXPECT_ERR(open("a/f", O_CREAT | O_WRONLY, 0600), EROFS);
    EXPECT_ERR(open("a/sub/f", O_CREAT | O_WRONLY, 0600), EROFS);
    EXPECT_OK(mount_setattr(AT_FDCWD, "a", kAtRecursive,
                            {.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC}));
    write_file("a/f", "x");
    EXPECT_OK(mount_setattr(AT_FDCWD, "a", 0,
                            {.attr_set = MOUNT_ATTR_NOATIME, .attr_clr = MOUNT_ATTR__ATIME}));
    EXPECT_NE(info_of("a").find("noatime"), std::string::npos);
    EXPECT_OK(mount_setattr(AT_FDCWD, "a", 0, {.attr_clr = MOUNT_ATTR__ATIME}));
    EXPECT_NE(info_of("a").find("relatime"), std::string::npos);
  });
}

TEST(MountSetattr, AllOrNothing) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    MUST(mkdir("a/sub", 0755));
    MUST(mount("none", "a/sub", "tmpfs", 0, nullptr));
    UniqueFd writer(MUST(open("a/sub/f", O_CREAT | O_WRONLY, 0600)));
    EXPECT_ERR(mount_setattr(AT_FDCWD, "a", kAtRecursive, {.attr_set = MOUNT_ATTR_RDONLY}), EBUSY);
    write_file("a/f", "x");
  });
}

TEST(MountSetattr, Propagation) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    EXPECT_OK(mount_setattr(AT_FDCWD, "a", 0, {.propagation = kShared}));
    EXPECT_NE(info_of("a").find(" shared:"), std::string::npos);
    EXPECT_OK(mount_setattr(AT_FDCWD, "a", 0, {.propagation = kPrivate}));
    EXPECT_EQ(info_of("a").find(" shared:"), std::string::npos);
    EXPECT_ERR(mount_setattr(AT_FDCWD, "a", 0, {.propagation = kShared | kPrivate}), EINVAL);
    EXPECT_ERR(mount_setattr(AT_FDCWD, "a", 0, {.propagation = 1}), EINVAL);
  });
}

TEST(MountSetattr, Errors) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    EXPECT_ERR(mount_setattr(AT_FDCWD, "b", 0, {.attr_set = MOUNT_ATTR_RDONLY}), EINVAL);
    EXPECT_ERR(mount_setattr(AT_FDCWD, "a", 1, {}), EINVAL);
    EXPECT_ERR(mount_setattr(AT_FDCWD, "a", 0, {.attr_set = 0x100}), EINVAL);
    EXPECT_ERR(mount_setattr(AT_FDCWD, "a", 0, {.attr_set = MOUNT_ATTR_NOATIME}), EINVAL);
    EXPECT_ERR(mount_setattr(AT_FDCWD, "a", 0, {.attr_clr = MOUNT_ATTR_NOATIME}), EINVAL);
    EXPECT_OK(mount_setattr(AT_FDCWD, "missing", 0, {}));  // Nothing to do.
    mount_attr a = {};
    EXPECT_ERR(syscall(442, AT_FDCWD, "a", 0, &a, 31), EINVAL);
    EXPECT_ERR(syscall(442, AT_FDCWD, "a", 0, &a, 5000), E2BIG);
  });
}

struct Request {
  uint32_t size = 24, spare = 0;
  uint64_t mount_id = 0, param = 0;
};
constexpr uint64_t kRootMount = UINT64_MAX;

uint64_t unique_id(const char* path) {
  struct statx st;
  MUST(statx(AT_FDCWD, path, 0, 0x4000, &st));  // STATX_MNT_ID_UNIQUE
  if (!(st.stx_mask & 0x4000)) skip("this kernel has no unique mount ids");
  return reinterpret_cast<uint64_t*>(&st)[18];  // stx_mnt_id
}

TEST(Listmount, ListsWhatIsBelow) {
  NEEDS_MOUNT();
  Request probe{.mount_id = kRootMount};
  uint64_t one;
  if (syscall(458, &probe, &one, 1, 0) < 0 && errno == ENOSYS) skip("no listmount(2)");
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    MUST(mkdir("a/sub", 0755));
    MUST(mount("none", "a/sub", "tmpfs", 0, nullptr));
    MUST(mount("none", "b", "tmpfs", 0, nullptr));
    Request q{.mount_id = unique_id("a")};
    uint64_t ids[500];
    EXPECT_EQ(syscall(458, &q, ids, 500, 0), 1);
    EXPECT_EQ(ids[0], unique_id("a/sub"));
    q.mount_id = kRootMount;
    const long n = MUST(syscall(458, &q, ids, 500, 0));
    EXPECT_TRUE(std::is_sorted(ids, ids + n));
    EXPECT_NE(std::find(ids, ids + n, unique_id("b")), ids + n);
    std::vector<uint64_t> reversed(500);
    EXPECT_EQ(syscall(458, &q, reversed.data(), 500, 1), n);
    EXPECT_TRUE(std::equal(ids, ids + n,
                           std::vector<uint64_t>(reversed.rend() - n, reversed.rend()).begin()) ||
                reversed[0] == ids[n - 1]);
    q.param = ids[n - 2];
    uint64_t rest[500];
    EXPECT_EQ(syscall(458, &q, rest, 500, 0), 1);
    EXPECT_EQ(rest[0], ids[n - 1]);
    EXPECT_ERR(syscall(458, &q, rest, 500, 2), EINVAL);
    q = {.mount_id = 12};
    EXPECT_ERR(syscall(458, &q, rest, 500, 0), EINVAL);
    q = {.mount_id = (uint64_t(1) << 50) + 5};
    EXPECT_ERR(syscall(458, &q, rest, 500, 0), ENOENT);
    q = {.size = 8, .mount_id = kRootMount};
    EXPECT_ERR(syscall(458, &q, rest, 500, 0), EINVAL);
  });
}

struct Answer {
  uint32_t size, options;
  uint64_t mask;
  uint32_t dev_major, dev_minor;
  uint64_t magic;
  uint32_t fs_flags, fs_type;
  uint64_t id, parent_id;
  uint32_t old_id, old_parent_id;
  uint64_t attributes, propagation, peer_group, master, propagate_from;
  uint32_t root, mountpoint;
  uint64_t spare[50];
  char text[4096];
};
static_assert(offsetof(Answer, text) == 512);

TEST(Statmount, TellsAboutAMount) {
  NEEDS_MOUNT();
  Request probe{.mount_id = kRootMount};
  Answer s;
  if (syscall(457, &probe, &s, sizeof s, 0) < 0 && errno == ENOSYS) skip("no statmount(2)");
  in_mount_namespace([] {
    MUST(mount("none", "a", "tmpfs", 0, nullptr));
    MUST(mkdir("a/in", 0755));
    MUST(mount("a/in", "b", nullptr, 4096, nullptr));
    MUST(mount(nullptr, "b", nullptr, kShared, nullptr));
    EXPECT_OK(mount_setattr(AT_FDCWD, "b", 0, {.attr_set = MOUNT_ATTR_NODEV}));
    Request q{.mount_id = unique_id("b"), .param = 0x3f};
    Answer s = {};
    EXPECT_OK(syscall(457, &q, &s, sizeof s, 0));
    EXPECT_EQ(s.mask, 0x3fu);
    EXPECT_EQ(s.magic, 0x01021994u);
    EXPECT_EQ(s.id, q.mount_id);
    EXPECT_EQ(s.parent_id, unique_id("."));
    EXPECT_EQ(s.attributes, uint64_t(MOUNT_ATTR_NODEV));
    EXPECT_EQ(s.propagation, kShared);
    EXPECT_NE(s.peer_group, 0u);
    EXPECT_EQ(s.master, 0u);
    EXPECT_EQ(std::string(s.text + s.fs_type), "tmpfs");
    EXPECT_EQ(std::string(s.text + s.root), "/in");
    EXPECT_EQ(std::string(s.text + s.mountpoint), scratch() + "/b");
    EXPECT_ERR(syscall(457, &q, &s, 512, 0), EOVERFLOW);
    EXPECT_ERR(syscall(457, &q, &s, sizeof s, 1), EINVAL);
    q.param = 2;
    Answer small = {};
    EXPECT_OK(syscall(457, &q, &small, 48, 0));
    EXPECT_EQ(small.size, 48u);  // As much as there is room for.
    EXPECT_EQ(small.mask, 2u);
  });
}

TEST(MountApi, NeedsPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(fsopen("tmpfs", 0), EPERM);
                  EXPECT_ERR(fspick(AT_FDCWD, "/", 0), EPERM);
                  EXPECT_ERR(open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE), EPERM);
                  EXPECT_ERR(move_mount(AT_FDCWD, "/", AT_FDCWD, "/", 0), EPERM);
                  EXPECT_ERR(mount_setattr(AT_FDCWD, "/", 0, {}), EPERM);
                  close(MUST(open_tree(AT_FDCWD, "/", 0)));
                }),
                0);
}

TEST(MountApi, LazyUnmountOfAClonedTree) {
  NEEDS_MOUNT();
  in_mount_namespace([] {
    UniqueFd tree = detached_tmpfs();
    MUST(move_mount(tree.get(), "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH));
    EXPECT_ERR(umount2("a", 0), EBUSY);
    EXPECT_OK(umount2("a", kDetach));
    EXPECT_ERR(move_mount(tree.get(), "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
  });
}

}  // namespace
