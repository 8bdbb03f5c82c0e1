// PathText::name(): what policies call a place.
#include <gtest/gtest.h>

#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

std::string name_of(const Path& path, std::string_view entry = {}) {
  std::array<char, 300> room;
  const auto name = PathText::name(path, entry, room);
  return name ? std::string(*name) : "error " + std::to_string(int(name.error()));
}

TEST(PathName, IsFromTheTopmostRoot) {
  testing::World w(*make_tmpfs({}));
  ASSERT_TRUE(w.mkdir("/a"));
  ASSERT_TRUE(w.mkdir("/a/b"));
  EXPECT_EQ(name_of(w.ctx.root), "/");
  EXPECT_EQ(name_of(w.ctx.root, "x"), "/x");
  EXPECT_EQ(name_of(*w.walk("/a/b")), "/a/b");
  EXPECT_EQ(name_of(*w.walk("/a/b"), "x"), "/a/b/x");
  // Whatever root the caller has.
  w.ctx.root = *w.walk("/a");
  EXPECT_EQ(name_of(*w.walk("/b")), "/a/b");
}

TEST(PathName, GoesThroughMounts) {
  testing::World w(*make_tmpfs({}));
  ASSERT_TRUE(w.mkdir("/m"));
  auto mount = Mount::make(*make_tmpfs({}), 0, "t");
  ASSERT_TRUE(w.ctx.mounts->attach(mount, *w.walk("/m")));
  ASSERT_TRUE(w.mkdir("/m/d"));
  EXPECT_EQ(name_of(*w.walk("/m")), "/m");
  EXPECT_EQ(name_of(*w.walk("/m/d"), "x"), "/m/d/x");
  ASSERT_TRUE(w.mkdir("/n"));
  ASSERT_TRUE(w.ctx.mounts->bind(*w.walk("/m/d"), *w.walk("/n"), false));
  EXPECT_EQ(name_of(*w.walk("/n"), "x"), "/n/x");
}

TEST(PathName, OfWhatStandsNowhereIsNoPath) {
  auto mount = Mount::make(*make_tmpfs({}), 0, "t");
  EXPECT_EQ(name_of(Path(mount, mount->root()), "x"), "!tmpfs/x");
}

TEST(PathName, ThatIsTooLongIsRefused) {
  testing::World w(*make_tmpfs({}));
  std::string path;
  for (int i = 0; i < 3; i++) {
    path += "/" + std::string(100, 'x');
    ASSERT_TRUE(w.mkdir(path));
  }
  EXPECT_EQ(name_of(*w.walk(path)), "error " + std::to_string(ENAMETOOLONG));
  EXPECT_EQ(name_of(*w.walk(path.substr(0, 202))).size(), 202u);
}

}  // namespace
}  // namespace usk
