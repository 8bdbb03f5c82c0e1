#include "fs/vfs/mount.h"

#include <gtest/gtest.h>

#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

using namespace usk::testing;

class MountTest : public ::testing::Test {
 protected:
  MountTest() : w(*make_tmpfs({})) {
    for (const char* d : {"/a", "/a/in", "/b", "/b/deep", "/c"}) EXPECT_OK(w.mkdir(d));
    EXPECT_OK(w.put("/a/under", "under"));
  }
  Result<void> mount(std::string_view at, unsigned long flags = 0, std::string source = "t") {
    return w.ctx.mounts->attach(Mount::make(*make_tmpfs({}), flags, std::move(source)),
                                TRY(w.walk(at)));
  }
  Result<void> bind(std::string_view from, std::string_view at, bool recursive = false) {
    return w.ctx.mounts->bind(TRY(w.walk(from)), TRY(w.walk(at)), recursive);
  }
  Result<void> umount(std::string_view at, int flags = 0) {
    return w.ctx.mounts->umount(TRY(w.walk(at)), flags);
  }
  std::string at(std::string_view path) {
    auto p = w.walk(path);
    return p ? w.text(*p) : "error " + std::to_string(error_of(p));
  }
  World w;
};

TEST_F(MountTest, Covers) {
  ASSERT_OK(mount("/a"));
  EXPECT_ERROR(w.open("/a/under"), ENOENT);
  ASSERT_OK(w.put("/a/over", "x"));
  EXPECT_EQ(at("/a/over"), "/a/over");
  EXPECT_EQ(at("/a/.."), "/");
  EXPECT_NE(w.stat("/a")->dev, w.stat("/")->dev);
  ASSERT_OK(umount("/a"));
  EXPECT_EQ(*w.get("/a/under"), "under");
}

TEST_F(MountTest, Stacks) {
  ASSERT_OK(mount("/a"));
  ASSERT_OK(w.put("/a/first", ""));
  ASSERT_OK(mount("/a"));
  EXPECT_ERROR(w.open("/a/first"), ENOENT);
  EXPECT_EQ(at("/a/../b"), "/b");
  ASSERT_OK(umount("/a"));
  EXPECT_OK(w.open("/a/first"));
  ASSERT_OK(umount("/a"));
  EXPECT_OK(w.open("/a/under"));
}

TEST_F(MountTest, BusyOnes) {
  ASSERT_OK(mount("/a"));
  {
    Ref<File> f = *w.open("/a/f", O_CREAT | O_RDWR);
    EXPECT_ERROR(umount("/a"), EBUSY);
  }
  ASSERT_OK(w.mkdir("/a/sub"));
  ASSERT_OK(mount("/a/sub"));
  EXPECT_ERROR(umount("/a"), EBUSY);
  EXPECT_ERROR(umount("/b"), EINVAL);
  EXPECT_ERROR(umount("/"), EINVAL);
  EXPECT_ERROR(w.rmdir("/a"), EBUSY);
  EXPECT_ERROR(w.rename("/a", "/z"), EBUSY);
  EXPECT_ERROR(umount("/a", MNT_EXPIRE), EAGAIN);
}

TEST_F(MountTest, LazyUmount) {
  ASSERT_OK(mount("/a"));
  Ref<File> f = *w.open("/a/f", O_CREAT | O_RDWR);
  ASSERT_OK(w.mkdir("/a/sub"));
  ASSERT_OK(mount("/a/sub"));
  ASSERT_OK(umount("/a", MNT_DETACH));
  EXPECT_OK(w.open("/a/under"));
  EXPECT_OK(write_to(*f, "still"));
  EXPECT_EQ(w.ctx.mounts->list().size(), 1u);
}

TEST_F(MountTest, Binds) {
  ASSERT_OK(bind("/a", "/c"));
  EXPECT_EQ(*w.get("/c/under"), "under");
  EXPECT_EQ(at("/c/in/.."), "/c");
  EXPECT_EQ(at("/c/.."), "/");
  ASSERT_OK(w.put("/c/new", "x"));
  EXPECT_EQ(*w.get("/a/new"), "x");
  EXPECT_ERROR(vfs::rename(w.ctx, w.ctx.cwd, "/a/new", w.ctx.cwd, "/c/moved", 0), EXDEV);
  EXPECT_ERROR(vfs::link(w.ctx, *w.walk("/a/new"), w.ctx.cwd, "/c/linked"), EXDEV);
}

TEST_F(MountTest, BindsOfFiles) {
  ASSERT_OK(w.put("/target", "old"));
  ASSERT_OK(bind("/a/under", "/target"));
  EXPECT_EQ(*w.get("/target"), "under");
  EXPECT_ERROR(bind("/a", "/target"), ENOTDIR);
  EXPECT_ERROR(bind("/a/under", "/b"), ENOTDIR);
  EXPECT_ERROR(w.unlink("/target"), EBUSY);
}

TEST_F(MountTest, RecursiveBinds) {
  ASSERT_OK(mount("/b/deep"));
  ASSERT_OK(w.put("/b/deep/f", "deep"));
  ASSERT_OK(bind("/b", "/c"));
  EXPECT_ERROR(w.open("/c/deep/f"), ENOENT);
  ASSERT_OK(umount("/c"));
  ASSERT_OK(bind("/b", "/c", true));
  EXPECT_EQ(*w.get("/c/deep/f"), "deep");
  EXPECT_EQ(w.ctx.mounts->list().size(), 4u);
}

TEST_F(MountTest, ReadOnlyBinds) {
  ASSERT_OK(bind("/a", "/c"));
  ASSERT_OK(w.ctx.mounts->remount(*w.walk("/c"), MS_RDONLY));
  EXPECT_ERROR(w.put("/c/x", ""), EROFS);
  EXPECT_ERROR(w.open("/c/under", O_RDWR), EROFS);
  EXPECT_ERROR(vfs::access(w.ctx, *w.walk("/c/under"), kMayWrite), EROFS);
  EXPECT_OK(w.put("/a/x", ""));
  EXPECT_TRUE(vfs::statfs(*w.walk("/c"))->flags & 1);
}

TEST_F(MountTest, RemountWithWriters) {
  ASSERT_OK(mount("/a"));
  Ref<File> f = *w.open("/a/f", O_CREAT | O_RDWR);
  EXPECT_ERROR(w.ctx.mounts->remount(*w.walk("/a"), MS_RDONLY), EBUSY);
  f.reset();
  EXPECT_OK(w.ctx.mounts->remount(*w.walk("/a"), MS_RDONLY));
  EXPECT_ERROR(w.ctx.mounts->remount(*w.walk("/b"), 0), EINVAL);
}

TEST_F(MountTest, Flags) {
  ASSERT_OK(mount("/a", MS_NOEXEC | MS_NODEV | MS_NOSYMFOLLOW));
  ASSERT_OK(w.put("/a/prog", "", 0755));
  EXPECT_ERROR(vfs::may_execute(w.ctx, *w.walk("/a/prog")), EACCES);
  ASSERT_OK(vfs::mknod(w.ctx, w.ctx.cwd, "/a/null", S_IFCHR | 0666, 259));
  EXPECT_ERROR(w.open("/a/null"), EACCES);
  ASSERT_OK(w.symlink("prog", "/a/link"));
  EXPECT_ERROR(w.open("/a/link"), ELOOP);
  ASSERT_OK(w.put("/prog", "", 0755));
  EXPECT_OK(vfs::may_execute(w.ctx, *w.walk("/prog")));
}

TEST_F(MountTest, Moves) {
  ASSERT_OK(mount("/a"));
  ASSERT_OK(w.put("/a/f", "x"));
  ASSERT_OK(w.ctx.mounts->move(*w.walk("/a"), *w.walk("/b/deep")));
  EXPECT_EQ(*w.get("/b/deep/f"), "x");
  EXPECT_OK(w.open("/a/under"));
  ASSERT_OK(w.mkdir("/b/deep/d"));
  EXPECT_ERROR(w.ctx.mounts->move(*w.walk("/b/deep"), *w.walk("/b/deep/d")), ELOOP);
  EXPECT_ERROR(w.ctx.mounts->move(*w.walk("/c"), *w.walk("/a")), EINVAL);
}

TEST_F(MountTest, PivotRoot) {
  ASSERT_OK(mount("/a"));
  ASSERT_OK(w.mkdir("/a/old"));
  ASSERT_OK(w.put("/a/f", "new root"));
  const Path new_root = *w.walk("/a");
  EXPECT_ERROR(w.ctx.mounts->pivot_root(w.ctx.root, new_root, *w.walk("/b")), EBUSY);
  EXPECT_ERROR(w.ctx.mounts->pivot_root(w.ctx.root, *w.walk("/b"), *w.walk("/a/old")), EBUSY);
  ASSERT_OK(w.ctx.mounts->pivot_root(w.ctx.root, new_root, *w.walk("/a/old")));
  w.ctx.root = w.ctx.cwd = w.ctx.mounts->root();
  EXPECT_EQ(*w.get("/f"), "new root");
  EXPECT_EQ(*w.get("/old/a/under"), "under");
  EXPECT_EQ(at("/old/.."), "/");
  ASSERT_OK(umount("/old", MNT_DETACH));
  EXPECT_TRUE(w.list("/old")->empty());
}

TEST_F(MountTest, PivotOntoItself) {
  ASSERT_OK(mount("/a"));
  const Path new_root = *w.walk("/a");
  const Path old_root = w.ctx.root;
  ASSERT_OK(w.ctx.mounts->pivot_root(old_root, new_root, new_root));
  EXPECT_EQ(w.ctx.mounts->root().mount, old_root.mount);  // Stacked on top of the new one.
  w.ctx.root = w.ctx.cwd = new_root;
  ASSERT_OK(w.ctx.mounts->umount(old_root, MNT_DETACH));
  EXPECT_EQ(w.ctx.mounts->root(), new_root);
}

TEST_F(MountTest, NamespacesPart) {
  ASSERT_OK(mount("/a"));
  ASSERT_OK(w.put("/a/f", "x"));
  WalkContext other = w.ctx;
  Path inside = *w.walk("/a");
  other.mounts = *w.ctx.mounts->clone(test_creds()->user_ns, {&other.root, &other.cwd, &inside});
  EXPECT_NE(other.root.mount, w.ctx.root.mount);
  EXPECT_OK(walk(other, other.root, "/a/f", 0));
  EXPECT_EQ(inside, *walk(other, other.root, "/a", 0));
  inside = {};
  ASSERT_OK(umount("/a"));
  EXPECT_OK(walk(other, other.root, "/a/f", 0));
  ASSERT_OK(other.mounts->attach(Mount::make(*make_tmpfs({}), 0, "n"),
                                 *walk(other, other.root, "/b", 0)));
  EXPECT_EQ(w.ctx.mounts->list().size(), 1u);
  EXPECT_ERROR(w.ctx.mounts->umount(*walk(other, other.root, "/b", 0), 0), EINVAL);
  EXPECT_TRUE(w.ctx.mounts->contains(*w.ctx.root.mount));
  EXPECT_FALSE(w.ctx.mounts->contains(*other.root.mount));
}

TEST_F(MountTest, Texts) {
  ASSERT_OK(w.mkdir("/with space"));
  ASSERT_OK(mount("/with space", MS_RDONLY | MS_NOSUID, "my\tsource"));
  ASSERT_OK(bind("/a/in", "/c"));
  const std::string mounts = w.ctx.mounts->mounts_text(w.ctx.root);
  EXPECT_NE(mounts.find("root / tmpfs rw,relatime 0 0\n"), std::string::npos) << mounts;
  EXPECT_NE(mounts.find("my\\011source /with\\040space tmpfs ro,nosuid 0 0\n"), std::string::npos)
      << mounts;
  const std::string info = w.ctx.mounts->mountinfo_text(w.ctx.root);
  EXPECT_NE(info.find(" /a/in /c rw,relatime - tmpfs root rw\n"), std::string::npos) << info;
  const Path jail = *w.walk("/b");
  EXPECT_EQ(w.ctx.mounts->mounts_text(jail), "root / tmpfs rw,relatime 0 0\n");
}

TEST_F(MountTest, RefusesOddPlaces) {
  ASSERT_OK(w.put("/file", ""));
  EXPECT_ERROR(mount("/file"), ENOTDIR);
  const Path gone = *w.walk("/b/deep");
  ASSERT_OK(w.rmdir("/b/deep"));
  EXPECT_ERROR(w.ctx.mounts->attach(Mount::make(*make_tmpfs({}), 0, "t"), gone), ENOENT);
}

TEST_F(MountTest, NoXdevStopsAtMounts) {
  ASSERT_OK(mount("/a"));
  ASSERT_OK(w.mkdir("/a/d"));
  EXPECT_ERROR(w.walk("/a", kFollow | kNoXdev), EXDEV);
  EXPECT_OK(w.walk("/b", kFollow | kNoXdev));
  const Path d = *w.walk("/a/d");
  EXPECT_OK(walk(w.ctx, d, "..", kNoXdev));
  EXPECT_ERROR(walk(w.ctx, d, "../..", kNoXdev), EXDEV);
}

TEST_F(MountTest, RenamedOutOfABind) {
  ASSERT_OK(w.mkdir("/a/in/x"));
  ASSERT_OK(bind("/a/in", "/c"));
  const Path x = *w.walk("/c/x");
  ASSERT_OK(w.rename("/a/in/x", "/b/x"));
  EXPECT_ERROR(walk(w.ctx, x, "..", 0), ENOENT);
}

TEST_F(MountTest, GenerationRises) {
  const uint64_t before = w.ctx.mounts->generation();
  ASSERT_OK(mount("/a"));
  EXPECT_GT(w.ctx.mounts->generation(), before);
}

}  // namespace
}  // namespace usk
