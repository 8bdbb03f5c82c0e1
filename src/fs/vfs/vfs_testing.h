// What unit tests of file systems share: a mounted tree and a walker of it.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "fs/vfs/dir.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/vfs_ops.h"

namespace usk::testing {

class ListSink final : public DirSink {
 public:
  explicit ListSink(size_t max = SIZE_MAX) : max_(max) {}
  bool emit(std::string_view name, Ino ino, uint8_t type, uint64_t next_pos) override {
    if (names.size() >= max_) return false;
    names.emplace_back(name);
    inos.push_back(ino);
    types.push_back(type);
    return true;
  }
  std::vector<std::string> names;
  std::vector<Ino> inos;
  std::vector<uint8_t> types;

 private:
  size_t max_;
};

// A namespace with `tree` as its root, and root's view of it.
class World {
 public:
  explicit World(FsTree tree, unsigned long flags = MS_RELATIME) {
    auto mount = Mount::make(std::move(tree), flags, "root");
    ctx.mounts = MountNamespace::make(std::move(mount), test_creds()->user_ns);
    ctx.root = ctx.cwd = ctx.mounts->root();
    ctx.creds = test_creds();
    ctx.umask = 0;
  }
  WalkContext as(Uid uid) const {
    WalkContext c = ctx;
    c.creds = user_creds(uid);
    return c;
  }

  Result<Path> walk(std::string_view path, uint32_t flags = kFollow) const {
    return usk::walk(ctx, ctx.cwd, path, flags);
  }
  Result<Ref<File>> open(std::string_view path, int flags = O_RDONLY, uint32_t mode = 0644) const {
    return vfs::open(ctx, ctx.cwd, path, {flags, mode, 0});
  }
  Result<void> mkdir(std::string_view path, uint32_t mode = 0755) const {
    return vfs::mkdir(ctx, ctx.cwd, path, mode);
  }
  Result<void> symlink(std::string_view target, std::string_view path) const {
    return vfs::symlink(ctx, target, ctx.cwd, path);
  }
  Result<void> link(std::string_view from, std::string_view to) const {
    return vfs::link(ctx, TRY(walk(from, 0)), ctx.cwd, to);
  }
  Result<void> unlink(std::string_view path) const { return vfs::unlink(ctx, ctx.cwd, path); }
  Result<void> rmdir(std::string_view path) const { return vfs::rmdir(ctx, ctx.cwd, path); }
  Result<void> rename(std::string_view from, std::string_view to, uint32_t flags = 0) const {
    return vfs::rename(ctx, ctx.cwd, from, ctx.cwd, to, flags);
  }
  Result<Attr> stat(std::string_view path, uint32_t flags = kFollow) const {
    return TRY(walk(path, flags)).inode().getattr();
  }
  // Makes or overwrites a file.
  Result<void> put(std::string_view path, std::string_view text, uint32_t mode = 0644) const {
    Ref<File> f = TRY(open(path, O_WRONLY | O_CREAT | O_TRUNC, mode));
    TRY(write_to(*f, text));
    return {};
  }
  Result<std::string> get(std::string_view path) const { return read_from(*TRY(open(path))); }
  // Names in a directory without the dots.
  Result<std::set<std::string>> list(std::string_view path) const {
    Ref<File> f = TRY(open(path, O_RDONLY | O_DIRECTORY));
    ListSink sink;
    uint64_t pos = 0;
    TRY(f->read_dir(sink, pos));
    std::set<std::string> names(sink.names.begin(), sink.names.end());
    names.erase(".");
    names.erase("..");
    return names;
  }
  std::string text(const Path& p) const { return PathText::of(p, ctx.root).shown(); }

  WalkContext ctx;
};

template <class T>
int error_of(const Result<T>& r) {
  return r ? 0 : int(r.error());
}

}  // namespace usk::testing

#define ASSERT_OK(expr) ASSERT_EQ(::usk::testing::error_of(expr), 0)
#define EXPECT_OK(expr) EXPECT_EQ(::usk::testing::error_of(expr), 0)
#define EXPECT_ERROR(expr, e) EXPECT_EQ(::usk::testing::error_of(expr), (e))
