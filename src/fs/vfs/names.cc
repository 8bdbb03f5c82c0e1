// Names made and removed: mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2).
#include <linux/capability.h>

#include "fs/vfs/mount_tree.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/vfs_ops.h"

namespace usk::vfs {

using Kind = LastComponent::Kind;

Result<void> check_writable(const Path& place) {
  if (!place.mount) return {};
  return place.mount->check_writable();
}

Result<void> may_create(const WalkContext& ctx, const Path& dir) {
  if (dir.dentry->deleted()) return Err(ENOENT);
  return dir.inode().permission(kMayWrite | kMayExec, *ctx.creds);
}

Result<void> may_delete(const WalkContext& ctx, const Path& dir, Dentry& victim, bool as_dir) {
  Inode& inode = *victim.inode();
  TRY(dir.inode().permission(kMayWrite | kMayExec, *ctx.creds));
  const Attr d = TRY(dir.inode().getattr());
  if (d.mode & S_ISVTX) {
    const Attr a = TRY(inode.getattr());
    const Creds& c = *ctx.creds;
    if (a.uid != c.fsuid && d.uid != c.fsuid && !capable_over(c, CAP_FOWNER, a)) {
      return Err(EPERM);
    }
  }
  if (as_dir && !inode.is_dir()) return Err(ENOTDIR);
  if (!as_dir && inode.is_dir()) return Err(EISDIR);
  if (dir.dentry->deleted()) return Err(ENOENT);
  return {};
}

namespace {

// Where a new name goes; EEXIST for one that needs no making.
Result<LastComponent> new_name(const WalkContext& ctx, const Path& at, std::string_view path) {
  LastComponent last = TRY(walk_parent(ctx, at, path, 0));
  if (last.kind != Kind::kName) return Err(EEXIST);
  return last;
}

// Makes a name by `make(dir inode)`, which gives the inode, when nothing is there.
template <class Make>
Result<Path> add_name(const WalkContext& ctx, const LastComponent& last, Category category,
                      Make make) {
  const Path& dir = last.parent;
  const bool is_dir = category == Category::kMkdir;
  TRY(ask(category, dir, last.name));
  Path place;
  {
    Lock lock(dir.dentry->mutex());
    Ref<Dentry> d = TRY(dir.dentry->lookup_locked(last.name));
    if (!d->is_negative()) return Err(EEXIST);
    if (last.trailing_slash && !is_dir) return Err(ENOENT);
    TRY(check_writable(dir));
    TRY(may_create(ctx, dir));
    Ref<Inode> inode = TRY(make(dir.inode()));
    place = Path(dir.mount, dir.dentry->add_locked(last.name, std::move(inode)));
  }
  notify_dir(dir.inode(), IN_CREATE | (is_dir ? IN_ISDIR : 0), last.name);
  return place;
}

}  // namespace

Result<void> mkdir(const WalkContext& ctx, const Path& at, std::string_view path, uint32_t mode) {
  const LastComponent last = TRY(new_name(ctx, at, path));
  mode = S_IFDIR | (mode & 01777 & ~ctx.umask);
  TRY(add_name(ctx, last, Category::kMkdir,
               [&](Inode& dir) { return dir.mknod(last.name, mode, 0, *ctx.creds); }));
  return {};
}

namespace {

Category category_of(uint32_t type) {
  switch (type) {
    case S_IFIFO: return Category::kMkfifo;
    case S_IFCHR: return Category::kMkcdev;
    case S_IFBLK: return Category::kMkbdev;
    case S_IFSOCK: return Category::kNetBind;
    default: return Category::kCreate;
  }
}

}  // namespace

Result<void> mknod(const WalkContext& ctx, const Path& at, std::string_view path, uint32_t mode,
                   Dev rdev) {
  uint32_t type = mode & S_IFMT;
  if (type == 0) type = S_IFREG;
  if (type == S_IFREG && installed_guard) mode &= ~installed_guard->umask();
  switch (type) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK: rdev = 0; break;
    case S_IFCHR:
    case S_IFBLK:
      // Linux: a character device 0:0 is a whiteout, which anyone may make.
      if (!(type == S_IFCHR && rdev == 0) && !ctx.creds->capable_in_root(CAP_MKNOD)) {
        return Err(EPERM);
      }
      break;
    case S_IFDIR: return Err(EPERM);
    default: return Err(EINVAL);
  }
  const LastComponent last = TRY(new_name(ctx, at, path));
  mode = type | (mode & 07777 & ~ctx.umask);
  TRY(add_name(ctx, last, category_of(type),
               [&](Inode& dir) { return dir.mknod(last.name, mode, rdev, *ctx.creds); }));
  return {};
}

Result<Path> make_socket(const WalkContext& ctx, const Path& at, std::string_view path,
                         uint32_t mode) {
  const LastComponent last = TRY(new_name(ctx, at, path));
  mode = S_IFSOCK | (mode & 07777 & ~ctx.umask);
  return add_name(ctx, last, Category::kNetBind,
                  [&](Inode& dir) { return dir.mknod(last.name, mode, 0, *ctx.creds); });
}

Result<void> symlink(const WalkContext& ctx, std::string_view target, const Path& at,
                     std::string_view path) {
  if (target.empty()) return Err(ENOENT);
  if (target.size() >= kPathMax) return Err(ENAMETOOLONG);
  const LastComponent last = TRY(new_name(ctx, at, path));
  TRY(add_name(ctx, last, Category::kSymlink,
               [&](Inode& dir) { return dir.symlink(last.name, target, *ctx.creds); }));
  return {};
}

namespace {

// protected_hardlinks (proc_sys_fs(5)): only to one's own files, or plain ones one may read and
// write.
Result<void> check_protected_hardlink(const WalkContext& ctx, Inode& inode) {
  if (!fs_sysctls().protected_hardlinks) return {};
  const Attr a = TRY(inode.getattr());
  if (owner_or_capable(*ctx.creds, a)) return {};
  const bool plain = S_ISREG(a.mode) && !(a.mode & S_ISUID) &&
                     (a.mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP);
  if (plain && inode.permission(kMayRead | kMayWrite, *ctx.creds)) return {};
  return Err(EPERM);
}

}  // namespace

Result<void> link(const WalkContext& ctx, const Path& from, const Path& at, std::string_view path) {
  const LastComponent last = TRY(new_name(ctx, at, path));
  if (from.mount != last.parent.mount) return Err(EXDEV);
  Inode& inode = from.inode();
  TRY(check_protected_hardlink(ctx, inode));
  TRY(ask(Category::kRename, from));
  if (installed_guard) TRY(installed_guard->link_target(from));
  if (installed_guard) TRY(installed_guard->move(from, last.parent, last.name, false));
  TRY(add_name(ctx, last, Category::kRename, [&](Inode& dir) -> Result<Ref<Inode>> {
    if (&dir.fs() != &inode.fs()) return Err(EXDEV);
    if (inode.is_dir()) return Err(EPERM);
    if (TRY(inode.getattr()).nlink == 0 && !from.dentry->linkable()) return Err(ENOENT);
    TRY(dir.link(last.name, inode));
    return from.dentry->inode_ref();
  }));
  notify_inode(inode, IN_ATTRIB);
  return {};
}

namespace {

// Removes the name, unless something is mounted there: then `victim` is what stands there, the
// answer is false, and who mounted it is looked at without the lock. `cleared` was looked at.
Result<bool> try_remove(const WalkContext& ctx, const LastComponent& last, bool as_dir,
                        const Dentry* cleared, Ref<Dentry>& victim) {
  const Path& dir = last.parent;
  Lock lock(dir.dentry->mutex());
  victim = TRY(dir.dentry->lookup_locked(last.name));
  if (victim->is_negative()) return Err(ENOENT);
  if (!as_dir && last.trailing_slash) {
    return Err(victim->inode()->is_dir() ? EISDIR : ENOTDIR);
  }
  TRY(check_writable(dir));
  TRY(may_delete(ctx, dir, *victim, as_dir));
  if (victim->is_mountpoint() && victim.get() != cleared) return false;
  Inode& inode = *victim->inode();
  if (as_dir) {
    TRY(dir.inode().rmdir(last.name, inode));
  } else {
    TRY(dir.inode().unlink(last.name, inode));
  }
  dir.dentry->remove_locked(*victim);
  return true;
}

Result<void> remove_name(const WalkContext& ctx, const LastComponent& last, bool as_dir) {
  const Path& dir = last.parent;
  TRY(ask(as_dir ? Category::kRmdir : Category::kDelete, dir, last.name));
  Ref<Dentry> victim, elsewhere;  // A mountpoint in other namespaces only.
  while (!TRY(try_remove(ctx, last, as_dir, elsewhere.get(), victim))) {
    if (is_mountpoint_in(*ctx.mounts, *victim)) return Err(EBUSY);
    elsewhere = victim;
  }
  if (elsewhere) unmount_everywhere(*victim);
  if (!as_dir) notify_inode(*victim->inode(), IN_ATTRIB);
  notify_dir(dir.inode(), IN_DELETE | (as_dir ? IN_ISDIR : 0), last.name);
  return {};
}

}  // namespace

Result<void> unlink(const WalkContext& ctx, const Path& at, std::string_view path) {
  const LastComponent last = TRY(walk_parent(ctx, at, path, 0));
  if (last.kind != Kind::kName) return Err(EISDIR);
  return remove_name(ctx, last, false);
}

Result<void> rmdir(const WalkContext& ctx, const Path& at, std::string_view path) {
  const LastComponent last = TRY(walk_parent(ctx, at, path, 0));
  switch (last.kind) {
    case Kind::kName: return remove_name(ctx, last, true);
    case Kind::kDot: return Err(EINVAL);
    case Kind::kDotDot: return Err(ENOTEMPTY);
    case Kind::kRoot: return Err(EBUSY);
  }
  return Err(EINVAL);
}

Result<std::string> readlink(const WalkContext& ctx, const Path& link) {
  if (!link.inode().is_symlink()) return Err(EINVAL);
  TRY(ask(Category::kReadlink, link));
  return link.inode().readlink();
}

}  // namespace usk::vfs
