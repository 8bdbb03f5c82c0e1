#include "fs/tmpfs/tmpfs.h"

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

using namespace usk::testing;

class TmpfsTest : public ::testing::Test {
 protected:
  TmpfsTest() : w(*make_tmpfs({})) {}
  World w;
};

TEST_F(TmpfsTest, RootAsLinuxMakesIt) {
  const Attr a = *w.stat("/");
  EXPECT_EQ(a.mode, S_IFDIR | 01777u);
  EXPECT_EQ(a.nlink, 2u);
  EXPECT_EQ(vfs::statfs(*w.walk("/"))->type, 0x01021994u);
}

TEST_F(TmpfsTest, WritesAndReads) {
  ASSERT_OK(w.put("/f", "hello"));
  EXPECT_EQ(*w.get("/f"), "hello");
  ASSERT_OK(w.put("/f", "bye"));
  EXPECT_EQ(*w.get("/f"), "bye");
  const Attr a = *w.stat("/f");
  EXPECT_EQ(a.size, 3u);
  EXPECT_EQ(a.blocks, 8u);
  EXPECT_EQ(a.nlink, 1u);
}

TEST_F(TmpfsTest, AppendsAndSeeks) {
  ASSERT_OK(w.put("/f", "one"));
  Ref<File> f = *w.open("/f", O_RDWR | O_APPEND);
  ASSERT_OK(write_to(*f, "two"));
  EXPECT_EQ(*w.get("/f"), "onetwo");
  EXPECT_EQ(*f->seek(-2, SEEK_END), 4u);
  EXPECT_EQ(*f->seek(1, SEEK_CUR), 5u);
  EXPECT_ERROR(f->seek(-10, SEEK_CUR), EINVAL);
  EXPECT_ERROR(f->seek(0, 77), EINVAL);
}

TEST_F(TmpfsTest, LinkCounts) {
  ASSERT_OK(w.mkdir("/d"));
  EXPECT_EQ(w.stat("/")->nlink, 3u);
  EXPECT_EQ(w.stat("/d")->nlink, 2u);
  ASSERT_OK(w.put("/f", ""));
  ASSERT_OK(w.link("/f", "/d/g"));
  EXPECT_EQ(w.stat("/f")->nlink, 2u);
  EXPECT_EQ(w.stat("/f")->ino, w.stat("/d/g")->ino);
  ASSERT_OK(w.unlink("/f"));
  EXPECT_EQ(w.stat("/d/g")->nlink, 1u);
  ASSERT_OK(w.mkdir("/d/e"));
  ASSERT_OK(w.rename("/d/e", "/e"));
  EXPECT_EQ(w.stat("/d")->nlink, 2u);
  EXPECT_EQ(w.stat("/")->nlink, 4u);
  ASSERT_OK(w.rmdir("/e"));
  EXPECT_EQ(w.stat("/")->nlink, 3u);
}

TEST_F(TmpfsTest, DirectoriesOnlyGoWhenEmpty) {
  ASSERT_OK(w.mkdir("/d"));
  ASSERT_OK(w.put("/d/f", ""));
  EXPECT_ERROR(w.rmdir("/d"), ENOTEMPTY);
  EXPECT_ERROR(w.unlink("/d"), EISDIR);
  EXPECT_ERROR(w.rmdir("/d/f"), ENOTDIR);
  ASSERT_OK(w.unlink("/d/f"));
  EXPECT_OK(w.rmdir("/d"));
  EXPECT_ERROR(w.rmdir("/d"), ENOENT);
}

TEST_F(TmpfsTest, PositionsSurviveRemovals) {
  for (int i = 0; i < 100; i++) ASSERT_OK(w.put("/f" + std::to_string(i), ""));
  Ref<File> dir = *w.open("/", O_RDONLY | O_DIRECTORY);
  uint64_t pos = 0;
  std::set<std::string> seen;
  while (true) {
    ListSink sink(7);
    ASSERT_OK(dir->read_dir(sink, pos));
    if (sink.names.empty()) break;
    for (const auto& n : sink.names) {
      EXPECT_TRUE(seen.insert(n).second);
      if (n[0] == 'f') {
        EXPECT_OK(w.unlink("/" + n));
      }
    }
  }
  EXPECT_EQ(seen.size(), 102u);
  EXPECT_TRUE(w.list("/")->empty());
}

TEST_F(TmpfsTest, SizeLimit) {
  World s(*make_tmpfs({.size_bytes = 16 * 4096, .max_inodes = 10}));
  Ref<File> f = *s.open("/f", O_RDWR | O_CREAT);
  EXPECT_EQ(*write_to(*f, std::string(20 * 4096, 'x')), 16u * 4096);
  EXPECT_ERROR(s.put("/g", "x"), ENOSPC);
  const FsStat st = *vfs::statfs(*s.walk("/"));
  EXPECT_EQ(st.blocks, 16u);
  EXPECT_EQ(st.bfree, 0u);
  ASSERT_OK(vfs::ftruncate(*f, 4096));
  EXPECT_OK(s.put("/g", "x"));
}

TEST_F(TmpfsTest, InodeLimit) {
  World s(*make_tmpfs({.max_inodes = 4}));
  for (int i = 0; i < 3; i++) ASSERT_OK(s.put("/f" + std::to_string(i), ""));
  EXPECT_ERROR(s.put("/g", ""), ENOSPC);
  EXPECT_ERROR(s.mkdir("/d"), ENOSPC);
  EXPECT_ERROR(s.link("/f0", "/l"), ENOSPC);
  ASSERT_OK(s.unlink("/f0"));
  EXPECT_OK(s.put("/g", ""));
}

TEST_F(TmpfsTest, DeletedFilesGiveTheirSpaceBack) {
  World s(*make_tmpfs({.size_bytes = 16 * 4096}));
  {
    Ref<File> f = *s.open("/f", O_RDWR | O_CREAT);
    ASSERT_OK(write_to(*f, std::string(16 * 4096, 'x')));
    ASSERT_OK(s.unlink("/f"));
    EXPECT_ERROR(s.put("/g", "x"), ENOSPC);
  }
  EXPECT_OK(s.put("/g", "x"));
}

TEST_F(TmpfsTest, ParsesOptions) {
  const UserNamespace& ns = *test_creds()->user_ns;
  auto o = TmpfsOptions::parse("size=64k,nr_inodes=1k,mode=755,uid=5,gid=6", ns);
  ASSERT_OK(o);
  EXPECT_EQ(o->size_bytes, 65536u);
  EXPECT_EQ(o->max_inodes, 1024u);
  EXPECT_EQ(o->mode, 0755u);
  EXPECT_EQ(o->uid, 5u);
  EXPECT_EQ(o->gid, 6u);
  EXPECT_OK(TmpfsOptions::parse("", ns));
  EXPECT_OK(TmpfsOptions::parse("size=50%", ns));
  for (const char* bad :
       {"size", "size=x", "size=1q", "mode=9", "uid=-1", "what=1", "size=99999999999999999999"}) {
    EXPECT_ERROR(TmpfsOptions::parse(bad, ns), EINVAL) << bad;
  }
  World s(*make_tmpfs(*o));
  EXPECT_EQ(s.walk("/")->inode().fs().options(), ",size=64k,nr_inodes=1024,mode=755,uid=5,gid=6");
}

TEST_F(TmpfsTest, RemountChangesLimits) {
  World s(*make_tmpfs({.size_bytes = 4096 * 8}));
  FileSystem& fs = s.walk("/")->inode().fs();
  ASSERT_OK(s.put("/f", std::string(4096 * 4, 'x')));
  EXPECT_ERROR(fs.remount("size=4k"), EINVAL);
  EXPECT_OK(fs.remount("size=16k"));
  EXPECT_ERROR(s.put("/g", "x"), ENOSPC);
}

TEST_F(TmpfsTest, Tmpfile) {
  Ref<File> f = *w.open("/", O_TMPFILE | O_RDWR, 0600);
  EXPECT_EQ(f->inode().getattr()->nlink, 0u);
  ASSERT_OK(write_to(*f, "nameless"));
  EXPECT_TRUE(w.list("/")->empty());
  EXPECT_NE(w.text(f->path()).find(" (deleted)"), std::string::npos);
  ASSERT_OK(vfs::link(w.ctx, f->path(), w.ctx.cwd, "/named"));
  EXPECT_EQ(*w.get("/named"), "nameless");
  EXPECT_EQ(w.stat("/named")->nlink, 1u);
  Ref<File> g = *w.open("/", O_TMPFILE | O_RDWR | O_EXCL, 0600);
  EXPECT_ERROR(vfs::link(w.ctx, g->path(), w.ctx.cwd, "/never"), ENOENT);
  EXPECT_ERROR(w.open("/", O_TMPFILE | O_RDONLY), EINVAL);
  EXPECT_ERROR(w.open("/named", O_TMPFILE | O_RDWR), ENOTDIR);
}

TEST_F(TmpfsTest, SpecialNodes) {
  ASSERT_OK(vfs::mknod(w.ctx, w.ctx.cwd, "/null", S_IFCHR | 0666, makedev(250, 3)));
  EXPECT_EQ(w.stat("/null")->rdev, makedev(250, 3));
  EXPECT_ERROR(w.open("/null"), ENXIO);
  ASSERT_OK(vfs::mknod(w.ctx, w.ctx.cwd, "/sock", S_IFSOCK | 0666, 0));
  EXPECT_ERROR(w.open("/sock"), ENXIO);
  EXPECT_ERROR(vfs::mknod(w.ctx, w.ctx.cwd, "/d", S_IFDIR | 0666, 0), EPERM);
  EXPECT_ERROR(vfs::mknod(w.ctx, w.ctx.cwd, "/l", S_IFLNK | 0666, 0), EINVAL);
  WalkContext user = w.as(1000);
  EXPECT_ERROR(vfs::mknod(user, user.cwd, "/dev", S_IFCHR | 0666, makedev(1, 3)), EPERM);
  EXPECT_OK(vfs::mknod(user, user.cwd, "/fifo", S_IFIFO | 0666, 0));
  EXPECT_OK(vfs::mknod(user, user.cwd, "/plain", 0644, 0));
  EXPECT_TRUE(S_ISREG(w.stat("/plain")->mode));
}

TEST_F(TmpfsTest, SetgidDirectories) {
  ASSERT_OK(w.mkdir("/g"));
  ASSERT_OK(vfs::chown(w.ctx, *w.walk("/g"), 1000, 50));
  ASSERT_OK(vfs::chmod(w.ctx, *w.walk("/g"), 02777));
  WalkContext user = w.as(1000);
  ASSERT_OK(vfs::mkdir(user, user.cwd, "/g/d", 0755));
  EXPECT_EQ(w.stat("/g/d")->gid, 50u);
  EXPECT_EQ(w.stat("/g/d")->mode, S_IFDIR | 02755u);
  ASSERT_OK(vfs::open(user, user.cwd, "/g/f", {O_CREAT | O_WRONLY, 02775, 0}));
  EXPECT_EQ(w.stat("/g/f")->gid, 50u);
  EXPECT_EQ(w.stat("/g/f")->mode, S_IFREG | 0775u);
  EXPECT_EQ(w.stat("/g/f")->uid, 1000u);
}

TEST_F(TmpfsTest, Renames) {
  ASSERT_OK(w.put("/a", "A"));
  ASSERT_OK(w.put("/b", "B"));
  ASSERT_OK(w.rename("/a", "/b"));
  EXPECT_EQ(*w.get("/b"), "A");
  EXPECT_ERROR(w.open("/a"), ENOENT);
  ASSERT_OK(w.put("/c", "C"));
  EXPECT_ERROR(w.rename("/b", "/c", RENAME_NOREPLACE), EEXIST);
  ASSERT_OK(w.rename("/b", "/c", RENAME_EXCHANGE));
  EXPECT_EQ(*w.get("/b"), "C");
  EXPECT_EQ(*w.get("/c"), "A");
  EXPECT_ERROR(w.rename("/b", "/none", RENAME_EXCHANGE), ENOENT);
  ASSERT_OK(w.rename("/b", "/moved", RENAME_WHITEOUT));
  EXPECT_TRUE(S_ISCHR(w.stat("/b")->mode));
  EXPECT_EQ(w.stat("/b")->rdev, 0u);
}

TEST_F(TmpfsTest, RenamesOfDirectories) {
  ASSERT_OK(w.mkdir("/d"));
  ASSERT_OK(w.mkdir("/d/e"));
  EXPECT_ERROR(w.rename("/d", "/d/e/f"), EINVAL);
  EXPECT_ERROR(w.rename("/d/e", "/d"), ENOTEMPTY);
  EXPECT_ERROR(w.rename("/d", "/d/e/f", RENAME_EXCHANGE), ENOENT);
  EXPECT_ERROR(w.rename("/d", "/d/e", RENAME_EXCHANGE), EINVAL);
  ASSERT_OK(w.put("/f", ""));
  EXPECT_ERROR(w.rename("/d", "/f"), ENOTDIR);
  EXPECT_ERROR(w.rename("/f", "/d"), EISDIR);
  ASSERT_OK(w.mkdir("/empty"));
  EXPECT_OK(w.rename("/d", "/empty"));
  EXPECT_OK(w.walk("/empty/e"));
  EXPECT_ERROR(w.rename("/f", "/g/"), ENOTDIR);
  EXPECT_ERROR(w.rename("/f/", "/g"), ENOTDIR);
  EXPECT_OK(w.rename("/empty/", "/full/"));
  EXPECT_ERROR(w.rename("/full/.", "/x"), EBUSY);
  EXPECT_ERROR(w.rename("/full", "/x/.."), ENOENT);
}

TEST_F(TmpfsTest, RenameOntoItself) {
  ASSERT_OK(w.put("/a", "A"));
  ASSERT_OK(w.link("/a", "/b"));
  EXPECT_OK(w.rename("/a", "/b"));
  EXPECT_OK(w.walk("/a"));
  EXPECT_OK(w.walk("/b"));
  EXPECT_OK(w.rename("/a", "/a"));
}

TEST_F(TmpfsTest, Xattrs) {
  ASSERT_OK(w.put("/f", ""));
  Path p = *w.walk("/f");
  EXPECT_ERROR(vfs::getxattr(w.ctx, p, "user.x"), ENODATA);
  ASSERT_OK(vfs::setxattr(w.ctx, p, "user.x", "1", 0));
  EXPECT_EQ(*vfs::getxattr(w.ctx, p, "user.x"), "1");
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "user.x", "2", XATTR_CREATE), EEXIST);
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "user.y", "2", XATTR_REPLACE), ENODATA);
  ASSERT_OK(vfs::setxattr(w.ctx, p, "trusted.t", "3", 0));
  ASSERT_OK(vfs::setxattr(w.ctx, p, "security.s", "4", 0));
  EXPECT_EQ(vfs::listxattr(w.ctx, p)->size(), 3u);
  WalkContext user = w.as(1000);
  EXPECT_EQ(vfs::listxattr(user, p)->size(), 2u);
  EXPECT_ERROR(vfs::getxattr(user, p, "trusted.t"), ENODATA);
  EXPECT_ERROR(vfs::setxattr(user, p, "trusted.t", "", 0), EPERM);
  EXPECT_ERROR(vfs::setxattr(user, p, "user.x", "", 0), EACCES);
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "other.x", "", 0), EOPNOTSUPP);
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "system.posix_acl_access", "", 0), EOPNOTSUPP);
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "", "", 0), ERANGE);
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "user.", "", 0), EINVAL);
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "user.big", std::string(65537, 'x'), 0), E2BIG);
  EXPECT_ERROR(vfs::setxattr(w.ctx, p, "user.f", "", 8), EINVAL);
  ASSERT_OK(vfs::removexattr(w.ctx, p, "user.x"));
  EXPECT_ERROR(vfs::removexattr(w.ctx, p, "user.x"), ENODATA);
  ASSERT_OK(w.symlink("f", "/l"));
  EXPECT_ERROR(vfs::setxattr(w.ctx, *w.walk("/l", 0), "user.x", "", 0), EPERM);
  EXPECT_ERROR(vfs::getxattr(w.ctx, *w.walk("/l", 0), "user.x"), ENODATA);
}

TEST_F(TmpfsTest, XattrsCountAgainstTheSize) {
  World s(*make_tmpfs({.size_bytes = 4096 * 4}));
  ASSERT_OK(s.put("/f", ""));
  Path p = *s.walk("/f");
  int made = 0;
  while (made < 100 && vfs::setxattr(s.ctx, p, "user." + std::to_string(made), "x", 0)) made++;
  EXPECT_EQ(made, 4);
  ASSERT_OK(s.unlink("/f"));
  p = {};
  EXPECT_OK(s.put("/g", "x"));
}

TEST_F(TmpfsTest, Timestamps) {
  ASSERT_OK(w.put("/f", "x"));
  Path p = *w.walk("/f");
  ASSERT_OK(vfs::utimens(w.ctx, p, {1, 2}, {3, 4}));
  Attr a = *w.stat("/f");
  EXPECT_EQ(a.atime.tv_sec, 1);
  EXPECT_EQ(a.mtime.tv_nsec, 4);
  EXPECT_GT(a.ctime.tv_sec, 1000);
  ASSERT_OK(w.get("/f"));
  EXPECT_GT(w.stat("/f")->atime.tv_sec, 1000);  // relatime: it was not after mtime.
  ASSERT_OK(w.put("/f", "y"));
  EXPECT_GT(w.stat("/f")->mtime.tv_sec, 1000);
}

}  // namespace
}  // namespace usk
