#include "fs/overlay/overlay.h"

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <fstream>

#include "fs/hostfs/hostfs.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

using namespace usk::testing;
namespace stdfs = std::filesystem;

std::string show(const std::vector<OverlayChange>& changes) {
  std::string s;
  for (const auto& c : changes) s += std::string(1, char(c.kind)) + " " + c.path + "\n";
  return s;
}

// Over a host directory, as the sandbox's root is.
class OverlayTest : public ::testing::Test {
 protected:
  OverlayTest() {
    char name[] = "/tmp/usk-overlay-XXXXXX";
    base = mkdtemp(name);
    stdfs::permissions(base, stdfs::perms(0755));
    stdfs::create_directories(base + "/dir/sub");
    put("file", "lower");
    put("dir/one", "1");
    put("dir/two", "2");
    put("dir/sub/leaf", "leaf");
    stdfs::create_symlink("dir/one", base + "/link");
    stdfs::create_hard_link(base + "/file", base + "/twin");
    w.emplace(*make_overlay({*make_hostfs(*host::open_dir(base), {.map_own_to_root = false})},
                            OverlayOptions{}));
  }
  ~OverlayTest() override { stdfs::remove_all(base); }
  void put(const std::string& name, const std::string& text) {
    std::ofstream(base + "/" + name) << text;
  }
  std::string host(const std::string& name) {
    std::ifstream in(base + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string diff() { return show(*overlay_diff(w->walk("/")->inode().fs())); }
  using Names = std::set<std::string>;

  std::string base;
  std::optional<World> w;
};

TEST_F(OverlayTest, ShowsTheLowerTree) {
  EXPECT_EQ(*w->get("/file"), "lower");
  EXPECT_EQ(*w->get("/link"), "1");
  EXPECT_EQ(*w->list("/"), (Names{"file", "twin", "dir", "link"}));
  EXPECT_EQ(w->stat("/file")->size, 5u);
  EXPECT_EQ(diff(), "");
}

TEST_F(OverlayTest, WritesStayInMemory) {
  ASSERT_OK(w->put("/file", "upper!"));
  EXPECT_EQ(*w->get("/file"), "upper!");
  EXPECT_EQ(host("file"), "lower");
  EXPECT_EQ(w->stat("/file")->size, 6u);
}

TEST_F(OverlayTest, PartialWritesKeepTheRest) {
  Ref<File> f = *w->open("/file", O_RDWR);
  ASSERT_OK(write_to(*f, "L"));
  EXPECT_EQ(*w->get("/file"), "Lower");
  Ref<File> a = *w->open("/dir/one", O_WRONLY | O_APPEND);
  ASSERT_OK(write_to(*a, "+"));
  EXPECT_EQ(*w->get("/dir/one"), "1+");
  EXPECT_EQ(host("dir/one"), "1");
}

TEST_F(OverlayTest, TruncatingNeedsNoCopy) {
  ASSERT_OK(vfs::truncate(w->ctx, *w->walk("/file"), 2));
  EXPECT_EQ(*w->get("/file"), "lo");
  ASSERT_OK(vfs::truncate(w->ctx, *w->walk("/file"), 4));
  EXPECT_EQ(*w->get("/file"), std::string("lo\0\0", 4));
}

TEST_F(OverlayTest, NumbersStayTheSame) {
  const Attr before = *w->stat("/file");
  ASSERT_OK(w->put("/file", "changed"));
  ASSERT_OK(w->rename("/file", "/dir/renamed"));
  const Attr after = *w->stat("/dir/renamed");
  EXPECT_EQ(before.ino, after.ino);
  EXPECT_EQ(before.dev, after.dev);
  EXPECT_EQ(before.dev, w->stat("/dir")->dev);
}

TEST_F(OverlayTest, ReadersSeeWhatIsWrittenLater) {
  Ref<File> reader = *w->open("/file");
  EXPECT_EQ(*read_from(*reader), "lower");
  ASSERT_OK(w->put("/file", "later"));
  EXPECT_EQ(*read_from(*reader), "later");
}

TEST_F(OverlayTest, HardLinksStayOneFile) {
  ASSERT_OK(w->put("/file", "both"));
  EXPECT_EQ(*w->get("/twin"), "both");
  EXPECT_EQ(w->stat("/twin")->nlink, 2u);
  ASSERT_OK(w->unlink("/file"));
  EXPECT_EQ(*w->get("/twin"), "both");
  EXPECT_EQ(w->stat("/twin")->nlink, 1u);
}

TEST_F(OverlayTest, ChangesOutliveTheDentryCache) {
  ASSERT_OK(w->put("/dir/sub/leaf", "changed"));
  ASSERT_OK(vfs::chmod(w->ctx, *w->walk("/dir/one"), 0600));
  w->walk("/")->dentry->prune();
  EXPECT_EQ(*w->get("/dir/sub/leaf"), "changed");
  EXPECT_EQ(w->stat("/dir/one")->mode & 07777, 0600u);
}

TEST_F(OverlayTest, RemovedNamesStayAbsent) {
  ASSERT_OK(w->unlink("/dir/one"));
  EXPECT_ERROR(w->open("/dir/one"), ENOENT);
  w->walk("/")->dentry->prune();
  EXPECT_ERROR(w->open("/dir/one"), ENOENT);
  EXPECT_EQ(*w->list("/dir"), (Names{"two", "sub"}));
  ASSERT_OK(w->put("/dir/one", "new"));
  EXPECT_EQ(*w->get("/dir/one"), "new");
  ASSERT_OK(w->unlink("/dir/one"));
  EXPECT_ERROR(w->open("/dir/one"), ENOENT);
  EXPECT_EQ(host("dir/one"), "1");
}

TEST_F(OverlayTest, DirectoriesGoOnlyWhenEmpty) {
  EXPECT_ERROR(w->rmdir("/dir/sub"), ENOTEMPTY);
  ASSERT_OK(w->unlink("/dir/sub/leaf"));
  ASSERT_OK(w->rmdir("/dir/sub"));
  EXPECT_ERROR(w->walk("/dir/sub"), ENOENT);
  ASSERT_OK(w->mkdir("/dir/sub"));
  EXPECT_TRUE(w->list("/dir/sub")->empty());  // Not the old one's contents.
  EXPECT_ERROR(w->open("/dir/sub/leaf"), ENOENT);
}

TEST_F(OverlayTest, RenamesLowerDirectories) {
  ASSERT_OK(w->rename("/dir", "/moved"));
  EXPECT_EQ(*w->get("/moved/sub/leaf"), "leaf");
  EXPECT_ERROR(w->walk("/dir"), ENOENT);
  w->walk("/")->dentry->prune();
  EXPECT_EQ(*w->get("/moved/sub/leaf"), "leaf");
  EXPECT_ERROR(w->walk("/dir"), ENOENT);
  ASSERT_OK(w->mkdir("/dir"));
  EXPECT_TRUE(w->list("/dir")->empty());
  EXPECT_ERROR(w->rename("/dir", "/moved"), ENOTEMPTY);
  EXPECT_OK(w->rename("/dir", "/moved", RENAME_EXCHANGE));
  EXPECT_EQ(*w->get("/dir/sub/leaf"), "leaf");
}

TEST_F(OverlayTest, RenameOverLower) {
  ASSERT_OK(w->put("/new", "new"));
  ASSERT_OK(w->rename("/new", "/file"));
  EXPECT_EQ(*w->get("/file"), "new");
  EXPECT_EQ(*w->get("/twin"), "lower");
  EXPECT_EQ(w->stat("/twin")->nlink, 1u);
  ASSERT_OK(w->unlink("/file"));
  EXPECT_ERROR(w->walk("/file"), ENOENT);
}

TEST_F(OverlayTest, Attributes) {
  Path p = *w->walk("/file");
  const Attr before = *p.inode().getattr();
  ASSERT_OK(vfs::chown(w->ctx, p, 7, 8));
  ASSERT_OK(vfs::utimens(w->ctx, p, {1, 0}, {2, 0}));
  ASSERT_OK(vfs::setxattr(w->ctx, p, "user.a", "b", 0));
  const Attr a = *w->stat("/file");
  EXPECT_EQ(a.uid, 7u);
  EXPECT_EQ(a.mtime.tv_sec, 2);
  EXPECT_EQ(a.size, before.size);
  EXPECT_EQ(*w->get("/file"), "lower");
  EXPECT_EQ(*vfs::getxattr(w->ctx, p, "user.a"), "b");
}

TEST_F(OverlayTest, CopyKeepsTheTimeOfChange) {
  const Attr before = *w->stat("/file");
  Ref<File> f = *w->open("/file", O_RDWR);
  EXPECT_EQ(w->stat("/file")->mtime.tv_sec, before.mtime.tv_sec);
  EXPECT_EQ(w->stat("/file")->mtime.tv_nsec, before.mtime.tv_nsec);
}

TEST_F(OverlayTest, LargeFilesAreCopied) {
  std::string big(300000, 'x');
  for (size_t i = 0; i < big.size(); i++) big[i] = char('a' + i % 23);
  put("big", big);
  World v(*make_overlay({*make_hostfs(*host::open_dir(base), {})}, {}));
  Ref<File> f = *v.open("/big", O_RDWR);
  ASSERT_OK(write_to(*f, "HEAD"));
  const std::string got = *read_from(*f, 400000);
  EXPECT_EQ(got.size(), big.size());
  EXPECT_EQ(got, "HEAD" + big.substr(4));
}

TEST_F(OverlayTest, RunsOutOfSpace) {
  put("big", std::string(100000, 'x'));
  World v(*make_overlay({*make_hostfs(*host::open_dir(base), {})}, {.size_bytes = 65536}));
  EXPECT_ERROR(v.open("/big", O_RDWR), ENOSPC);
  EXPECT_EQ(v.get("/big")->size(), 100000u);
  EXPECT_OK(v.put("/small", "x"));
  EXPECT_EQ(vfs::statfs(*v.walk("/"))->bfree, 14u);
}

TEST_F(OverlayTest, RunsOutOfInodes) {
  World v(*make_overlay({*make_hostfs(*host::open_dir(base), {})}, {.max_inodes = 2}));
  ASSERT_OK(v.put("/dir/one", "x"));  // Itself and its directory.
  EXPECT_ERROR(vfs::chmod(v.ctx, *v.walk("/file"), 0), ENOSPC);
  EXPECT_ERROR(v.put("/new", ""), ENOSPC);
  EXPECT_OK(v.put("/dir/one", "y"));
}

TEST_F(OverlayTest, MapsTheLowerFileUntilItChanges) {
  Ref<File> f = *w->open("/file");
  auto lower = f->mmap(0, 4096, PROT_READ, MAP_PRIVATE);
  ASSERT_OK(lower);
  ASSERT_TRUE(lower->fd);
  EXPECT_FALSE(lower->writable);
  Ref<File> g = *w->open("/file", O_RDWR);
  auto upper = g->mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED);
  ASSERT_OK(upper);
  EXPECT_TRUE(upper->writable);
  EXPECT_NE(upper->fd->get(), lower->fd->get());
}

TEST_F(OverlayTest, DiffTellsWhatChanged) {
  ASSERT_OK(w->put("/dir/one", "changed"));
  ASSERT_OK(w->unlink("/dir/two"));
  ASSERT_OK(w->mkdir("/new"));
  ASSERT_OK(w->put("/new/f", "x"));
  ASSERT_OK(w->put("/dir/sub/added", ""));
  EXPECT_EQ(diff(),
            "C /dir\nC /dir/one\nC /dir/sub\nA /dir/sub/added\nD /dir/two\nA /new\nA /new/f\n");
}

TEST_F(OverlayTest, DiffOfRenames) {
  ASSERT_OK(w->rename("/dir/sub", "/sub"));
  ASSERT_OK(w->put("/sub/leaf", "changed"));
  const std::string d = diff();
  EXPECT_NE(d.find("A /sub\n"), std::string::npos) << d;
  EXPECT_NE(d.find("C /sub/leaf\n"), std::string::npos) << d;
  EXPECT_NE(d.find("D /dir/sub\n"), std::string::npos) << d;
}

TEST_F(OverlayTest, ReadingChangesNothing) {
  EXPECT_OK(w->get("/dir/sub/leaf"));
  EXPECT_OK(w->list("/dir"));
  EXPECT_EQ(diff(), "");
}

TEST_F(OverlayTest, HiddenPaths) {
  World v(*make_overlay({*make_hostfs(*host::open_dir(base), {})},
                        {.hidden = {"dir/one", "/link", "none/at/all", "file/x"}}));
  EXPECT_ERROR(v.open("/dir/one"), ENOENT);
  EXPECT_ERROR(v.walk("/link", 0), ENOENT);
  EXPECT_EQ(*v.list("/dir"), (Names{"two", "sub"}));
  EXPECT_EQ(show(*overlay_diff(v.walk("/")->inode().fs())), "");
  ASSERT_OK(v.put("/dir/one", "own"));
  EXPECT_EQ(*v.get("/dir/one"), "own");
  ASSERT_OK(v.unlink("/dir/one"));
  EXPECT_ERROR(v.open("/dir/one"), ENOENT);
}

TEST_F(OverlayTest, WhiteoutsDoNotPileUp) {
  for (int i = 0; i < 1000; i++) {
    ASSERT_OK(w->put("/tmp" + std::to_string(i), ""));
    ASSERT_OK(w->unlink("/tmp" + std::to_string(i)));
  }
  EXPECT_EQ(diff(), "");
}

TEST_F(OverlayTest, LinkCountsOfDirectories) {
  const uint32_t before = w->stat("/dir")->nlink;
  ASSERT_OK(w->mkdir("/dir/more"));
  EXPECT_EQ(w->stat("/dir")->nlink, before + 1);
  ASSERT_OK(w->rename("/dir/more", "/more"));
  EXPECT_EQ(w->stat("/dir")->nlink, before);
}

TEST_F(OverlayTest, PermissionsAreThoseShown) {
  ASSERT_OK(vfs::chmod(w->ctx, *w->walk("/file"), 0640));
  WalkContext user = w->as(1000);
  EXPECT_ERROR(vfs::open(user, user.cwd, "/file", {O_RDONLY}), EACCES);
  ASSERT_OK(vfs::chown(w->ctx, *w->walk("/file"), 1000, std::nullopt));
  EXPECT_OK(vfs::open(user, user.cwd, "/file", {O_RDWR}));
}

TEST_F(OverlayTest, SpecialFilesBelowBecomeTheGuestsOwn) {
  ASSERT_EQ(mkfifo((base + "/fifo").c_str(), 0666), 0);
  EXPECT_TRUE(S_ISFIFO(w->stat("/fifo")->mode));
  ASSERT_OK(w->unlink("/fifo"));
  EXPECT_TRUE(stdfs::exists(base + "/fifo"));
}

TEST_F(OverlayTest, UnlinkedWhileOpen) {
  Ref<File> f = *w->open("/file", O_RDWR);
  ASSERT_OK(w->unlink("/file"));
  ASSERT_OK(w->unlink("/twin"));
  ASSERT_OK(write_to(*f, "X"));
  EXPECT_EQ(*read_from(*f), "Xower");
  EXPECT_EQ(f->inode().getattr()->nlink, 0u);
}

TEST_F(OverlayTest, RefusesChangingLowers) {
  EXPECT_ERROR(make_overlay({*make_hostfs(*host::open_dir(base), {.writable = true})}, {}), EINVAL);
  EXPECT_ERROR(make_overlay({}, {}), EINVAL);
}

// Layers as image tools stack them.
class OverlayLayersTest : public ::testing::Test {
 protected:
  OverlayLayersTest() : low_tree(*make_tmpfs({})), top_tree(*make_tmpfs({})) {
    World low(low_tree), top(top_tree);
    EXPECT_OK(low.mkdir("/d"));
    EXPECT_OK(low.put("/d/low", "low"));
    EXPECT_OK(low.put("/d/both", "from low"));
    EXPECT_OK(low.put("/gone", "x"));
    EXPECT_OK(low.mkdir("/opaque"));
    EXPECT_OK(low.put("/opaque/hidden", ""));
    EXPECT_OK(top.mkdir("/d"));
    EXPECT_OK(top.put("/d/top", "top"));
    EXPECT_OK(top.put("/d/both", "from top"));
    EXPECT_OK(vfs::mknod(top.ctx, top.ctx.cwd, "/gone", S_IFCHR, 0));
    EXPECT_OK(top.mkdir("/opaque"));
    EXPECT_OK(vfs::setxattr(top.ctx, *top.walk("/opaque"), "trusted.overlay.opaque", "y", 0));
  }
  FsTree low_tree, top_tree;
};

TEST_F(OverlayLayersTest, Merges) {
  World w(*make_overlay({top_tree, low_tree}, {}));
  EXPECT_EQ(*w.get("/d/low"), "low");
  EXPECT_EQ(*w.get("/d/both"), "from top");
  EXPECT_EQ(*w.list("/d"), (std::set<std::string>{"low", "top", "both"}));
  EXPECT_ERROR(w.open("/gone"), ENOENT);
  EXPECT_EQ(*w.list("/"), (std::set<std::string>{"d", "opaque"}));
  EXPECT_TRUE(w.list("/opaque")->empty());
  EXPECT_EQ(vfs::listxattr(w.ctx, *w.walk("/opaque"))->size(), 0u);
}

TEST_F(OverlayLayersTest, RemovesMergedDirectories) {
  World w(*make_overlay({top_tree, low_tree}, {}));
  ASSERT_OK(w.unlink("/d/both"));
  EXPECT_EQ(*w.list("/d"), (std::set<std::string>{"low", "top"}));
  ASSERT_OK(w.unlink("/d/low"));
  EXPECT_ERROR(w.rmdir("/d"), ENOTEMPTY);
  ASSERT_OK(w.unlink("/d/top"));
  ASSERT_OK(w.rmdir("/d"));
  ASSERT_OK(w.mkdir("/d"));
  EXPECT_TRUE(w.list("/d")->empty());
}

TEST_F(OverlayLayersTest, CopiesFromFilesInMemory) {
  World w(*make_overlay({top_tree, low_tree}, {}));
  Ref<File> f = *w.open("/d/low", O_RDWR);
  ASSERT_OK(write_to(*f, "B"));
  EXPECT_EQ(*w.get("/d/low"), "Bow");
  World low(low_tree);
  EXPECT_EQ(*low.get("/d/low"), "low");
}

TEST_F(OverlayLayersTest, OverlaysStack) {
  FsTree middle = *make_overlay({top_tree, low_tree}, {});
  World w(*make_overlay({middle}, {}));
  EXPECT_EQ(*w.get("/d/low"), "low");
  ASSERT_OK(w.put("/d/low", "upmost"));
  World m(middle);
  EXPECT_EQ(*m.get("/d/low"), "low");
}

}  // namespace
}  // namespace usk
