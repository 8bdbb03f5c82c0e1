#include <linux/capability.h>

#include "fs/vfs/locks.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/path_file.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/vfs_ops.h"

namespace usk::vfs {
namespace {

using Kind = LastComponent::Kind;

constexpr int kTmpfileBit = O_TMPFILE & ~O_DIRECTORY;

uint32_t wanted_access(int flags) {
  uint32_t may = 0;
  const int mode = flags & O_ACCMODE;
  if (mode != O_WRONLY) may |= kMayRead;
  if (mode != O_RDONLY || (flags & O_TRUNC)) may |= kMayWrite;
  return may;
}

// What kind of file may be opened how: Linux's may_open().
Result<void> check_kind(const Path& place, int flags, uint32_t may) {
  switch (place.inode().type()) {
    case S_IFLNK: return Err(ELOOP);
    case S_IFDIR:
      if (may & kMayWrite) return Err(EISDIR);
      break;
    case S_IFBLK:
    case S_IFCHR:
      if (place.mount->has(MS_NODEV)) return Err(EACCES);
      break;
    case S_IFREG:
      if (may & kMayWrite) TRY(check_writable(place));
      break;
  }
  return {};
}

Result<void> truncate_opened(File& file) {
  TRY(file.inode().setattr({.set = AttrChange::kSize, .size = 0}));
  notify_dentry(*file.path().dentry, IN_MODIFY);
  return {};
}

// The last steps, common to found and to fresh files.
Result<Ref<File>> finish(const WalkContext& ctx, const Path& place, int flags, bool created,
                         bool break_leases = false, bool append_only = false) {
  Inode& inode = place.inode();
  const bool writes = inode.is_regular() && (flags & O_ACCMODE) != O_RDONLY;
  const bool truncates = inode.is_regular() && (flags & O_TRUNC) && !created;
  if (Leases::any() && inode.has_locks()) {
    TRY(inode.locks().leases.check_open(writes || truncates, break_leases));
  }
  // Before the file system hears of it: an executed file is not even copied up.
  if (writes || truncates) {
    TRY(inode.get_write_access());
    inode.put_write_access();
  }
  Ref<File> file = TRY(inode.open(place, flags, ctx.creds));
  if (append_only) file->make_append_only();
  if (writes) TRY(file->hold_write_access());
  if (truncates) TRY(truncate_opened(*file));
  notify_dentry(*place.dentry, IN_OPEN);
  return file;
}

// What the policy shows in the place of a file. What is behind it is not written, whatever the
// mask.
Result<Ref<File>> open_mask(const WalkContext& ctx, const std::string& mask, int flags) {
  const Path shown = TRY(walk(ctx, ctx.mounts->root(), mask, kFollow));
  flags &= ~O_TRUNC;
  const bool stored = shown.inode().is_regular() || shown.inode().is_dir();
  if (stored && (flags & O_ACCMODE) != O_RDONLY) return Err(EACCES);
  if ((flags & O_DIRECTORY) && !shown.inode().is_dir()) return Err(ENOTDIR);
  TRY(shown.inode().permission(wanted_access(flags), *ctx.creds));
  return finish(ctx, shown, flags, false);
}

Result<Ref<File>> open_guarded(const WalkContext& ctx, const Path& place, int flags,
                               bool break_leases) {
  const Guard::Opened how = TRY(installed_guard->open(place, flags, false));
  if (how.mask) return open_mask(ctx, *how.mask, flags);
  if (how.append_only && (flags & O_ACCMODE) != O_RDONLY) {
    flags = (flags & ~O_TRUNC) | O_APPEND;
  }
  const uint32_t may = wanted_access(flags);
  TRY(check_kind(place, flags, may));
  TRY(place.inode().permission(may, *ctx.creds));
  return finish(ctx, place, flags, false, break_leases, how.append_only);
}

Result<Ref<File>> open_found(const WalkContext& ctx, const Path& place, int flags,
                             bool break_leases) {
  if (flags & O_PATH) {
    TRY(ask(Category::kStat, place));
    return make_ref<PathFile>(place, flags, ctx.creds);
  }
  if ((flags & O_DIRECTORY) && !place.inode().is_dir()) return Err(ENOTDIR);
  const uint32_t may = wanted_access(flags);
  TRY(check_kind(place, flags, may));
  TRY(place.inode().permission(may, *ctx.creds));
  if (flags & O_NOATIME) {
    if (!owner_or_capable(*ctx.creds, TRY(place.inode().getattr()))) return Err(EPERM);
  }
  if (installed_guard) return open_guarded(ctx, place, flags, break_leases);
  return finish(ctx, place, flags, false, break_leases);
}

// protected_fifos and protected_regular (proc_sys_fs(5)): O_CREAT of what someone else put into
// a sticky directory.
Result<void> check_sticky_create(const WalkContext& ctx, const Path& dir, Inode& found) {
  const FsSysctls& s = fs_sysctls();
  const int level = found.is_regular()        ? s.protected_regular
                    : found.type() == S_IFIFO ? s.protected_fifos
                                              : 0;
  if (level == 0) return {};
  const Attr d = TRY(dir.inode().getattr());
  if (!(d.mode & S_ISVTX)) return {};
  const Attr a = TRY(found.getattr());
  if (a.uid == d.uid || a.uid == ctx.creds->fsuid) return {};
  if ((d.mode & S_IWOTH) || (level >= 2 && (d.mode & S_IWGRP))) return Err(EACCES);
  return {};
}

Result<Ref<Dentry>> create_locked(const WalkContext& ctx, const Path& dir, std::string_view name,
                                  uint32_t mode) REQUIRES(dir.dentry->mutex()) {
  TRY(check_writable(dir));
  TRY(may_create(ctx, dir));
  if (installed_guard) mode &= ~installed_guard->umask();
  mode = S_IFREG | (mode & 07777 & ~ctx.umask);
  Ref<Inode> inode = TRY(dir.inode().mknod(name, mode, 0, *ctx.creds));
  return dir.dentry->add_locked(name, std::move(inode));
}

// One look at the last component of an O_CREAT walk: the dentry there, made if need be.
struct Looked {
  Ref<Dentry> dentry;
  bool created = false;
};
Result<Looked> look_or_create(const WalkContext& ctx, const Path& dir, const std::string& name,
                              const OpenHow& how) {
  bool asked = !installed_guard;
  while (true) {
    {
      Lock lock(dir.dentry->mutex());
      Ref<Dentry> d = TRY(dir.dentry->lookup_locked(name));
      if (!d->is_negative()) {
        if (how.flags & O_EXCL) return Err(EEXIST);
        return Looked{std::move(d), false};
      }
      if (asked) return Looked{TRY(create_locked(ctx, dir, name, how.mode)), true};
    }
    // Not under the lock: the policy looks at the whole path.
    TRY(installed_guard->open_new(dir, name, how.flags));
    asked = true;
  }
}

// Whether what was just made is for appending only.
bool append_only_new(const Path& place) {
  if (!installed_guard) return false;
  const auto how = installed_guard->open(place, 0, true);
  return how && how->append_only;
}

Result<Ref<File>> open_create(const WalkContext& ctx, const Path& at, std::string_view path,
                              const OpenHow& how) {
  if (how.resolve & kCachedOnly) return Err(EAGAIN);  // As Linux: creating may always wait.
  Walker walker(ctx, how.resolve | kFollow);
  TRY(walker.to_last(at, path));
  while (true) {
    const LastComponent last = walker.last();
    if (last.kind != Kind::kName) {
      if (how.flags & O_EXCL) return Err(EEXIST);
      return Err(EISDIR);
    }
    if (last.trailing_slash) return Err(EISDIR);
    if (last.name.size() > kNameMax) return Err(ENAMETOOLONG);
    Looked found = TRY(look_or_create(ctx, last.parent, last.name, how));
    Path place(last.parent.mount, found.dentry);
    if (found.created) {
      notify_dir(last.parent.inode(), IN_CREATE, last.name);
      return finish(ctx, place, how.flags, true, false, append_only_new(place));
    }
    if (found.dentry->inode()->is_symlink() && !found.dentry->is_mountpoint()) {
      if (how.flags & O_NOFOLLOW) return Err(ELOOP);
      if (installed_guard) TRY(installed_guard->create_over(place));
      TRY(walker.through_link(place));
      if (!walker.arrived()) continue;
      place = walker.arrived();
    } else {
      place = TRY(walker.step(last.parent, std::move(found.dentry)));
    }
    if (place.inode().is_dir()) return Err(EISDIR);
    TRY(check_sticky_create(ctx, last.parent, place.inode()));
    if (installed_guard) TRY(installed_guard->create_over(place));
    return open_found(ctx, place, how.flags & ~(O_CREAT | O_EXCL), how.break_leases);
  }
}

Result<Ref<File>> open_tmpfile(const WalkContext& ctx, const Path& at, std::string_view path,
                               const OpenHow& how) {
  const Path dir = TRY(walk(ctx, at, path, how.resolve | kFollow | kWantDirectory));
  TRY(check_writable(dir));
  TRY(may_create(ctx, dir));
  TRY(ask(Category::kMktemp, dir));
  uint32_t mode = S_IFREG | (how.mode & 07777 & ~ctx.umask);
  if (installed_guard) mode &= ~installed_guard->umask();
  Ref<Inode> inode = TRY(dir.inode().tmpfile(mode, *ctx.creds));
  const bool linkable = !(how.flags & O_EXCL);
  Path place(dir.mount, Dentry::make_nameless(dir.dentry, std::move(inode), linkable));
  return finish(ctx, place, how.flags & ~O_TMPFILE, true);
}

}  // namespace

Result<Ref<File>> open_place(const WalkContext& ctx, const Path& place, int flags) {
  return open_found(ctx, place, flags, false);
}

Result<Ref<File>> open(const WalkContext& ctx, const Path& at, std::string_view path,
                       const OpenHow& asked) {
  OpenHow how = asked;
  if (how.flags & O_PATH) {
    how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  } else if (how.flags & kTmpfileBit) {
    if ((how.flags & O_TMPFILE) != O_TMPFILE || (how.flags & O_CREAT)) return Err(EINVAL);
    if ((how.flags & O_ACCMODE) == O_RDONLY) return Err(EINVAL);
    return open_tmpfile(ctx, at, path, how);
  } else if (how.flags & O_CREAT) {
    if (how.flags & O_DIRECTORY) return Err(EINVAL);
    return open_create(ctx, at, path, how);
  }
  uint32_t walk_flags = how.resolve;
  if (!(how.flags & O_NOFOLLOW)) walk_flags |= kFollow;
  if (how.flags & O_DIRECTORY) walk_flags |= kWantDirectory;
  return open_found(ctx, TRY(walk(ctx, at, path, walk_flags)), how.flags, how.break_leases);
}

}  // namespace usk::vfs
