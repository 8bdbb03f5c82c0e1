#include "fs/hostfs/hostfs.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "fs/hostfs/host_inode.h"
#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

using namespace usk::testing;
namespace stdfs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/usk-hostfs-XXXXXX";
    path = mkdtemp(name);
  }
  ~TempDir() { stdfs::remove_all(path); }
  void put(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
  }
  std::string get(const std::string& name) const {
    std::ifstream in(path + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string path;
};

class HostFsTest : public ::testing::Test {
 protected:
  HostFsTest() {
    dir.put("file", "hello");
    stdfs::create_directories(dir.path + "/sub/deep");
    dir.put("sub/deep/leaf", "leaf");
    stdfs::create_symlink("sub/deep", dir.path + "/link");
    stdfs::create_symlink("/etc", dir.path + "/escape");
    stdfs::create_symlink("../../../../../../etc", dir.path + "/updots");
  }
  FsTree tree(bool writable) {
    return *make_hostfs(*host::open_dir(dir.path), {.writable = writable});
  }
  TempDir dir;
};

TEST_F(HostFsTest, ReadsFiles) {
  World w(tree(false));
  EXPECT_EQ(*w.get("/file"), "hello");
  EXPECT_EQ(*w.get("/sub/deep/leaf"), "leaf");
  EXPECT_EQ(*w.get("/link/leaf"), "leaf");
  EXPECT_EQ(w.stat("/file")->size, 5u);
  EXPECT_ERROR(w.open("/none"), ENOENT);
}

TEST_F(HostFsTest, LinksLeadWithinTheGuestsTree) {
  World w(tree(false));
  EXPECT_ERROR(w.open("/escape/passwd"), ENOENT);
  EXPECT_ERROR(w.open("/updots/passwd"), ENOENT);
  stdfs::create_directory(dir.path + "/etc");
  dir.put("etc/passwd", "guest's");
  World v(tree(false));
  EXPECT_EQ(*v.get("/escape/passwd"), "guest's");
}

TEST_F(HostFsTest, ReadOnlyRefusesChanges) {
  World w(tree(false));
  EXPECT_ERROR(w.open("/file", O_WRONLY), EROFS);
  EXPECT_ERROR(w.open("/new", O_WRONLY | O_CREAT), EROFS);
  EXPECT_ERROR(w.mkdir("/new"), EROFS);
  EXPECT_ERROR(w.unlink("/file"), EROFS);
  EXPECT_ERROR(w.rename("/file", "/other"), EROFS);
  EXPECT_ERROR(vfs::chmod(w.ctx, *w.walk("/file"), 0), EROFS);
  EXPECT_EQ(dir.get("file"), "hello");
}

TEST_F(HostFsTest, ListsDirectories) {
  World w(tree(false));
  EXPECT_EQ(*w.list("/"), (std::set<std::string>{"file", "sub", "link", "escape", "updots"}));
}

TEST_F(HostFsTest, ReadOnlyTreesCountAsUnchanging) {
  World w(tree(false));
  EXPECT_ERROR(w.open("/later"), ENOENT);
  dir.put("later", "x");
  EXPECT_ERROR(w.open("/later"), ENOENT);
  EXPECT_EQ(w.stat("/file")->size, 5u);
}

TEST_F(HostFsTest, WritableTreesSeeTheHostsChanges) {
  World w(tree(true));
  EXPECT_ERROR(w.open("/later"), ENOENT);
  dir.put("later", "x");
  EXPECT_EQ(*w.get("/later"), "x");
  dir.put("file", "longer than before");
  EXPECT_EQ(w.stat("/file")->size, 18u);
  stdfs::remove(dir.path + "/later");
  EXPECT_ERROR(w.open("/later"), ENOENT);
}

TEST_F(HostFsTest, ReplacedFilesAreNoticed) {
  World w(tree(true));
  EXPECT_EQ(*w.get("/file"), "hello");
  const Ino before = w.stat("/file")->ino;
  dir.put("tmp", "new");
  stdfs::rename(dir.path + "/tmp", dir.path + "/file");
  EXPECT_EQ(*w.get("/file"), "new");
  EXPECT_NE(w.stat("/file")->ino, before);
}

TEST_F(HostFsTest, WritesReachTheHost) {
  World w(tree(true));
  ASSERT_OK(w.put("/made", "by the guest", 0640));
  EXPECT_EQ(dir.get("made"), "by the guest");
  EXPECT_EQ(w.stat("/made")->mode, S_IFREG | 0640u);
  ASSERT_OK(w.put("/file", "short"));
  EXPECT_EQ(dir.get("file"), "short");
  Ref<File> f = *w.open("/file", O_WRONLY | O_APPEND);
  ASSERT_OK(write_to(*f, "+more"));
  EXPECT_EQ(dir.get("file"), "short+more");
  ASSERT_OK(vfs::ftruncate(*f, 3));
  EXPECT_EQ(dir.get("file"), "sho");
}

TEST_F(HostFsTest, NamesChangeOnTheHost) {
  World w(tree(true));
  ASSERT_OK(w.mkdir("/dir", 0711));
  EXPECT_TRUE(stdfs::is_directory(dir.path + "/dir"));
  EXPECT_EQ(w.stat("/dir")->mode, S_IFDIR | 0711u);
  ASSERT_OK(w.rename("/file", "/dir/moved"));
  EXPECT_EQ(dir.get("dir/moved"), "hello");
  EXPECT_EQ(*w.get("/dir/moved"), "hello");
  ASSERT_OK(w.link("/dir/moved", "/again"));
  EXPECT_EQ(w.stat("/again")->nlink, 2u);
  ASSERT_OK(w.symlink("again", "/soft"));
  EXPECT_EQ(*w.get("/soft"), "hello");
  ASSERT_OK(w.unlink("/dir/moved"));
  EXPECT_ERROR(w.rmdir("/sub"), ENOTEMPTY);
  ASSERT_OK(w.rmdir("/dir"));
  EXPECT_FALSE(stdfs::exists(dir.path + "/dir"));
}

TEST_F(HostFsTest, AttributesChangeOnTheHost) {
  World w(tree(true));
  Path p = *w.walk("/file");
  ASSERT_OK(vfs::chmod(w.ctx, p, 0600));
  EXPECT_EQ(w.stat("/file")->mode & 07777, 0600u);
  ASSERT_OK(vfs::utimens(w.ctx, p, {1000, 5}, {2000, 7}));
  EXPECT_EQ(w.stat("/file")->mtime.tv_sec, 2000);
  EXPECT_EQ(w.stat("/file")->atime.tv_nsec, 5);
  if (geteuid() == 0) {
    ASSERT_OK(vfs::chown(w.ctx, p, 5, 6));
    EXPECT_EQ(w.stat("/file")->uid, 5u);
    EXPECT_EQ(w.stat("/file")->gid, 6u);
  }
}

TEST_F(HostFsTest, TranslatedOwners) {
  World w(*make_hostfs(*host::open_dir(dir.path), {.writable = true, .map_own_to_root = true}));
  EXPECT_EQ(w.stat("/file")->uid, 0u);
  EXPECT_ERROR(vfs::chown(w.ctx, *w.walk("/file"), 5, 6), EPERM);
  EXPECT_OK(vfs::chown(w.ctx, *w.walk("/file"), 0, 0));
  World etc(*make_hostfs(*host::open_dir("/"), {.map_own_to_root = true}));
  if (geteuid() != 0) {
    EXPECT_EQ(etc.stat("/etc")->uid, 65534u);
  }
}

TEST_F(HostFsTest, SpecialFilesAreSeenButNotOpened) {
  ASSERT_EQ(mkfifo((dir.path + "/fifo").c_str(), 0666), 0);
  World w(tree(true));
  EXPECT_TRUE(S_ISFIFO(w.stat("/fifo")->mode));
  EXPECT_ERROR(w.open("/fifo", O_RDONLY), ENXIO);
  EXPECT_ERROR(w.open("/fifo", O_RDWR), ENXIO);
  World dev(*make_hostfs(*host::open_dir("/dev"), {}));
  EXPECT_TRUE(S_ISCHR(dev.stat("/null")->mode));
  EXPECT_ERROR(dev.open("/null"), ENXIO);
}

TEST_F(HostFsTest, DevicesAreNotMadeOnTheHost) {
  World w(tree(true));
  EXPECT_ERROR(vfs::mknod(w.ctx, w.ctx.cwd, "/dev", S_IFCHR | 0666, makedev(1, 3)), EPERM);
  ASSERT_OK(vfs::mknod(w.ctx, w.ctx.cwd, "/p", S_IFIFO | 0600, 0));
  EXPECT_TRUE(stdfs::is_fifo(dir.path + "/p"));
}

TEST_F(HostFsTest, OpenFilesOutliveTheirNames) {
  World w(tree(true));
  Ref<File> f = *w.open("/file", O_RDWR);
  ASSERT_OK(w.unlink("/file"));
  EXPECT_EQ(*read_from(*f), "hello");
  EXPECT_EQ(f->inode().getattr()->nlink, 0u);
  EXPECT_EQ(w.text(f->path()), "/file (deleted)");
}

TEST_F(HostFsTest, ManyFilesKeepFewDescriptors) {
  for (int i = 0; i < 700; i++) dir.put("n" + std::to_string(i), "x");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{1024, before.rlim_max};  // Of which an eighth is kept.
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  World w(tree(false));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  for (int i = 0; i < 700; i++) EXPECT_EQ(*w.get("/n" + std::to_string(i)), "x");
  EXPECT_LT(std::distance(stdfs::directory_iterator("/proc/self/fd"), {}), 200);
}

TEST_F(HostFsTest, KnowsWhatIsAbsentAfterAWhile) {
  World w(tree(false));
  for (int i = 0; i < 20; i++) {
    EXPECT_ERROR(w.walk("/none" + std::to_string(i)), ENOENT);
    EXPECT_ERROR(w.walk("/sub/none" + std::to_string(i)), ENOENT);
  }
  EXPECT_EQ(*w.get("/file"), *w.get("/sub/../file"));
  const std::set<std::string> once = *w.list("/");
  EXPECT_EQ(*w.list("/"), once);
}

TEST_F(HostFsTest, AskedAnewWhereTheHostMayChangeThings) {
  World w(tree(true));
  for (int i = 0; i < 20; i++) EXPECT_ERROR(w.walk("/later"), ENOENT);
  dir.put("later", "x");
  EXPECT_EQ(*w.get("/later"), "x");
}

TEST_F(HostFsTest, MapsTheHostsFile) {
  World w(tree(false));
  Ref<File> f = *w.open("/file");
  auto backing = f->mmap(0, 4096, 0, 0);
  ASSERT_OK(backing);
  EXPECT_TRUE(backing->fd);
  EXPECT_FALSE(backing->writable);
}

TEST_F(HostFsTest, SeeksDataAndHoles) {
  World w(tree(true));
  Ref<File> f = *w.open("/sparse", O_RDWR | O_CREAT);
  ASSERT_OK(vfs::ftruncate(*f, 1 << 20));
  EXPECT_EQ(*f->seek(0, SEEK_END), 1u << 20);
  EXPECT_EQ(*f->seek(0, SEEK_HOLE), 0u);
  EXPECT_ERROR(f->seek(0, SEEK_DATA), ENXIO);
  EXPECT_ERROR(f->seek(-1, SEEK_SET), EINVAL);
}

TEST_F(HostFsTest, HardLinksShareAnInode) {
  stdfs::create_hard_link(dir.path + "/file", dir.path + "/twin");
  World w(tree(false));
  EXPECT_EQ(&w.walk("/file")->inode(), &w.walk("/twin")->inode());
}

TEST_F(HostFsTest, FilesWithoutANameGetOne) {
  World w(tree(true));
  Ref<File> f = *w.open("/sub", O_TMPFILE | O_RDWR, 0640);
  EXPECT_OK(write_to(*f, "contents"));
  EXPECT_EQ(f->inode().getattr()->mode, uint32_t(S_IFREG | 0640));
  EXPECT_EQ(f->inode().getattr()->nlink, 0u);
  EXPECT_OK(f->inode().setattr({.set = AttrChange::kMode, .mode = 0600}));
  ASSERT_OK(vfs::link(w.ctx, f->path(), w.ctx.cwd, "/named"));
  EXPECT_EQ(*w.get("/named"), "contents");
  EXPECT_EQ(w.stat("/named")->nlink, 1u);
  EXPECT_EQ(w.stat("/named")->mode, uint32_t(S_IFREG | 0600));
  EXPECT_ERROR(vfs::link(w.ctx, f->path(), w.ctx.cwd, "/named"), EEXIST);
  f.reset();
  EXPECT_EQ(*w.get("/named"), "contents");
}

}  // namespace
}  // namespace usk
