#include "fs/vfs/walk.h"

#include <gtest/gtest.h>

#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

using namespace usk::testing;

class WalkTest : public ::testing::Test {
 protected:
  WalkTest() : w(*make_tmpfs({})) {
    EXPECT_OK(w.mkdir("/a"));
    EXPECT_OK(w.mkdir("/a/b"));
    EXPECT_OK(w.put("/a/b/file", "text"));
    EXPECT_OK(w.symlink("/a/b", "/abs"));
    EXPECT_OK(w.symlink("b/file", "/a/rel"));
  }
  std::string at(std::string_view path, uint32_t flags = kFollow) {
    auto p = w.walk(path, flags);
    return p ? w.text(*p) : "error " + std::to_string(error_of(p));
  }
  int err(std::string_view path, uint32_t flags = kFollow) { return error_of(w.walk(path, flags)); }
  World w;
};

TEST_F(WalkTest, FindsPlaces) {
  EXPECT_EQ(at("/"), "/");
  EXPECT_EQ(at("///"), "/");
  EXPECT_EQ(at("/a/b/file"), "/a/b/file");
  EXPECT_EQ(at("a//b/./file"), "/a/b/file");
  EXPECT_EQ(at("."), "/");
  EXPECT_EQ(at("/a/b/.."), "/a");
  EXPECT_EQ(at("/a/./b/"), "/a/b");
}

TEST_F(WalkTest, DotDotStopsAtTheRoot) {
  EXPECT_EQ(at("/.."), "/");
  EXPECT_EQ(at("../../../a"), "/a");
  w.ctx.root = *w.walk("/a");
  w.ctx.cwd = *w.walk("/b");
  EXPECT_EQ(at(".."), "/");
  EXPECT_EQ(at("../.."), "/");
  EXPECT_EQ(at("/../b/file"), "/b/file");
}

TEST_F(WalkTest, FollowsLinks) {
  EXPECT_EQ(at("/abs"), "/a/b");
  EXPECT_EQ(at("/abs/file"), "/a/b/file");
  EXPECT_EQ(at("/a/rel"), "/a/b/file");
  EXPECT_EQ(at("/abs/../rel"), "/a/b/file");
  EXPECT_EQ(at("/abs", 0), "/abs");
  EXPECT_EQ(at("/abs/", 0), "/a/b");
}

TEST_F(WalkTest, SaysWhatIsWrong) {
  EXPECT_EQ(err(""), ENOENT);
  EXPECT_EQ(err("/none"), ENOENT);
  EXPECT_EQ(err("/none/x"), ENOENT);
  EXPECT_EQ(err("/a/b/file/x"), ENOTDIR);
  EXPECT_EQ(err("/a/b/file/"), ENOTDIR);
  EXPECT_EQ(err("/a/b/file/."), ENOTDIR);
  EXPECT_EQ(err("/a/b/file/.."), ENOTDIR);
  EXPECT_EQ(err("/a/rel/"), ENOTDIR);
  EXPECT_EQ(err("/a/b/file", kFollow | kWantDirectory), ENOTDIR);
}

TEST_F(WalkTest, LimitsLengths) {
  EXPECT_EQ(err("/" + std::string(256, 'x')), ENAMETOOLONG);
  EXPECT_EQ(err("/" + std::string(255, 'x')), ENOENT);
  EXPECT_EQ(err("/" + std::string(256, 'x') + "/y"), ENAMETOOLONG);
  std::string path;
  while (path.size() < 4094) path += "/.";
  EXPECT_EQ(at(path + "."), "/");
  EXPECT_EQ(err(path + ".."), ENAMETOOLONG);
}

TEST_F(WalkTest, LimitsLinks) {
  ASSERT_OK(w.symlink("loop", "/loop"));
  EXPECT_EQ(err("/loop"), ELOOP);
  EXPECT_EQ(err("/loop/x"), ELOOP);
  ASSERT_OK(w.symlink("/a", "/l0"));
  for (int i = 1; i < 41; i++) {
    ASSERT_OK(w.symlink("/l" + std::to_string(i - 1), "/l" + std::to_string(i)));
  }
  EXPECT_EQ(at("/l39"), "/a");
  EXPECT_EQ(err("/l40"), ELOOP);
}

TEST_F(WalkTest, DanglingAndRootLinks) {
  ASSERT_OK(w.symlink("gone", "/dangling"));
  EXPECT_EQ(err("/dangling"), ENOENT);
  EXPECT_EQ(at("/dangling", 0), "/dangling");
  ASSERT_OK(w.symlink("/", "/toroot"));
  EXPECT_EQ(at("/toroot/a"), "/a");
  EXPECT_EQ(at("/toroot"), "/");
  ASSERT_OK(w.symlink("a/", "/slash"));
  EXPECT_EQ(at("/slash"), "/a");
  ASSERT_OK(w.symlink("a/b/file/", "/fileslash"));
  EXPECT_EQ(err("/fileslash"), ENOTDIR);
  ASSERT_OK(w.symlink("..", "/a/up"));
  EXPECT_EQ(at("/a/up"), "/");
  EXPECT_EQ(at("/a/up/a"), "/a");
}

TEST_F(WalkTest, EmptyPath) {
  w.ctx.cwd = *w.walk("/a");
  EXPECT_EQ(at("", kEmptyPath), "/a");
  EXPECT_EQ(err(""), ENOENT);
}

TEST_F(WalkTest, NeedsSearchPermission) {
  ASSERT_OK(vfs::chmod(w.ctx, *w.walk("/a"), 0700));
  WalkContext user = w.as(1000);
  EXPECT_ERROR(walk(user, user.cwd, "/a/b", kFollow), EACCES);
  EXPECT_OK(walk(user, user.cwd, "/a", kFollow));
  ASSERT_OK(vfs::chmod(w.ctx, *w.walk("/a"), 0711));
  EXPECT_OK(walk(user, user.cwd, "/a/b", kFollow));
}

TEST_F(WalkTest, ResolveBeneath) {
  Path a = *w.walk("/a");
  auto go = [&](std::string_view p) { return error_of(walk(w.ctx, a, p, kFollow | kBeneath)); };
  EXPECT_EQ(go("b/file"), 0);
  EXPECT_EQ(go("rel"), 0);
  EXPECT_EQ(go("b/.."), 0);
  EXPECT_EQ(go(".."), EXDEV);
  EXPECT_EQ(go("b/../.."), EXDEV);
  EXPECT_EQ(go("/a"), EXDEV);
  ASSERT_OK(w.symlink("/a/b", "/a/out"));
  EXPECT_EQ(go("out"), EXDEV);
  ASSERT_OK(w.symlink("../a/b", "/a/updown"));
  EXPECT_EQ(go("updown"), EXDEV);
}

TEST_F(WalkTest, ResolveInRoot) {
  Path a = *w.walk("/a");
  auto go = [&](std::string_view p) {
    auto r = walk(w.ctx, a, p, kFollow | kInRoot);
    return r ? w.text(*r) : "error";
  };
  EXPECT_EQ(go("/b"), "/a/b");
  EXPECT_EQ(go("../../b"), "/a/b");
  ASSERT_OK(w.symlink("/b", "/a/in"));
  EXPECT_EQ(go("in"), "/a/b");
}

TEST_F(WalkTest, ResolveNoSymlinks) {
  EXPECT_EQ(err("/abs/file", kFollow | kNoSymlinks), ELOOP);
  EXPECT_EQ(err("/abs", kFollow | kNoSymlinks), ELOOP);
  EXPECT_EQ(err("/abs", kNoSymlinks), 0);
  EXPECT_EQ(err("/a/b/file", kFollow | kNoSymlinks), 0);
}

TEST_F(WalkTest, ResolveCached) {
  EXPECT_EQ(err("/a/b/file", kFollow | kCachedOnly), 0);
  EXPECT_EQ(err("/a/b/never-asked", kFollow | kCachedOnly), EAGAIN);
  EXPECT_EQ(err("/a/b/never-asked"), ENOENT);
  EXPECT_EQ(err("/a/b/never-asked", kFollow | kCachedOnly), ENOENT);
}

TEST_F(WalkTest, ProtectedSymlinks) {
  ASSERT_OK(w.mkdir("/sticky", 01777));
  WalkContext mallory = w.as(1001), alice = w.as(1000);
  ASSERT_OK(vfs::chmod(w.ctx, *w.walk("/sticky"), 01777));
  ASSERT_OK(vfs::symlink(mallory, "/a", mallory.cwd, "/sticky/trap"));
  EXPECT_ERROR(walk(alice, alice.cwd, "/sticky/trap", kFollow), EACCES);
  EXPECT_OK(walk(alice, alice.cwd, "/sticky/trap", 0));
  EXPECT_OK(walk(mallory, mallory.cwd, "/sticky/trap", kFollow));
  fs_sysctls().protected_symlinks = false;
  EXPECT_OK(walk(alice, alice.cwd, "/sticky/trap", kFollow));
  fs_sysctls().protected_symlinks = true;
}

TEST_F(WalkTest, ParentOfALastComponent) {
  auto last = walk_parent(w.ctx, w.ctx.cwd, "/a/b/new/", 0);
  ASSERT_OK(last);
  EXPECT_EQ(w.text(last->parent), "/a/b");
  EXPECT_EQ(last->name, "new");
  EXPECT_TRUE(last->trailing_slash);
  EXPECT_EQ(walk_parent(w.ctx, w.ctx.cwd, "/", 0)->kind, LastComponent::Kind::kRoot);
  EXPECT_EQ(walk_parent(w.ctx, w.ctx.cwd, "a/.", 0)->kind, LastComponent::Kind::kDot);
  EXPECT_EQ(walk_parent(w.ctx, w.ctx.cwd, "a/..", 0)->kind, LastComponent::Kind::kDotDot);
  EXPECT_ERROR(walk_parent(w.ctx, w.ctx.cwd, "/none/x", 0), ENOENT);
  EXPECT_ERROR(walk_parent(w.ctx, w.ctx.cwd, "/a/b/file/x", 0), ENOTDIR);
}

TEST_F(WalkTest, DeletedPlacesSaySo) {
  Path b = *w.walk("/a/b");
  ASSERT_OK(w.unlink("/a/b/file"));
  ASSERT_OK(w.rmdir("/a/b"));
  EXPECT_EQ(w.text(b), "/a/b (deleted)");
  w.ctx.cwd = b;
  EXPECT_EQ(at(".."), "/a");
  EXPECT_ERROR(w.open("x", O_CREAT | O_RDWR), ENOENT);
  EXPECT_ERROR(w.mkdir("x"), ENOENT);
  EXPECT_EQ(err("x"), ENOENT);
}

TEST_F(WalkTest, NamesOutsideTheRootAreUnreachable) {
  Path file = *w.walk("/a/b/file");
  Path other = *w.walk("/");
  EXPECT_OK(w.mkdir("/jail"));
  const PathText t = PathText::of(file, *w.walk("/jail"));
  EXPECT_FALSE(t.reachable);
  EXPECT_EQ(PathText::of(file, *w.walk("/a")).text, "/b/file");
}

TEST_F(WalkTest, CacheIsBounded) {
  Dentry::set_cache_limit(100);
  for (int i = 0; i < 1000; i++) EXPECT_EQ(err("/a/none" + std::to_string(i)), ENOENT);
  EXPECT_LE(Dentry::cached_count(), 200u);
  EXPECT_EQ(at("/a/b/file"), "/a/b/file");
  Dentry::set_cache_limit(16384);
}

TEST_F(WalkTest, VeryDeepTreesEnd) {
  WalkContext c = w.ctx;
  for (int i = 0; i < 20000; i++) {
    ASSERT_OK(vfs::mkdir(c, c.cwd, "d", 0755));
    c.cwd = *walk(c, c.cwd, "d", 0);
  }
  EXPECT_TRUE(PathText::of(c.cwd, c.root).too_long);
}

}  // namespace
}  // namespace usk
