// Attributes by name: chmod(2), chown(2), utimensat(2), truncate(2), access(2), statfs(2).
#include <linux/capability.h>
#include <linux/falloc.h>
#include <sys/statvfs.h>

#include "fs/vfs/notify.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/vfs_ops.h"

namespace usk::vfs {
namespace {

// Set-user-ID and set-group-ID as a change of owner or contents leaves them (Linux:
// setattr_should_drop_suidgid). True when `mode` changed.
bool drop_id_bits(uint32_t& mode, bool in_group_or_capable) {
  const uint32_t before = mode;
  mode &= ~uint32_t(S_ISUID);
  if ((mode & S_ISGID) && ((mode & S_IXGRP) || !in_group_or_capable)) {
    mode &= ~uint32_t(S_ISGID);
  }
  return mode != before;
}

bool in_group_or_capable(const Creds& c, const Attr& a) {
  return c.in_group(a.gid) || capable_over(c, CAP_FSETID, a);
}

Result<void> change(const Path& place, const AttrChange& what, uint32_t event = IN_ATTRIB) {
  TRY(place.inode().setattr(what));
  notify_dentry(*place.dentry, event);
  return {};
}

// A new size, which drops privileges as a write does.
Result<void> change_size(Inode& inode, const Creds& creds, uint64_t size) {
  AttrChange what{.set = AttrChange::kSize, .size = size};
  const Attr a = TRY(inode.getattr());
  uint32_t mode = a.mode;
  if (!creds.capable(CAP_FSETID) && drop_id_bits(mode, in_group_or_capable(creds, a))) {
    what.set |= AttrChange::kMode;
    what.mode = mode & 07777;
  }
  return inode.setattr(what);
}

}  // namespace

Result<void> chmod(const WalkContext& ctx, const Path& place, uint32_t mode) {
  TRY(check_writable(place));
  if (place.inode().is_symlink()) return Err(EOPNOTSUPP);
  TRY(ask(Category::kChmod, place));
  if (installed_guard && place.inode().is_regular()) mode &= ~installed_guard->umask();
  const Attr a = TRY(place.inode().getattr());
  if (!owner_or_capable(*ctx.creds, a)) return Err(EPERM);
  mode &= 07777;
  if ((mode & S_ISGID) && !in_group_or_capable(*ctx.creds, a)) mode &= ~uint32_t(S_ISGID);
  return change(place, {.set = AttrChange::kMode, .mode = mode});
}

Result<void> chown(const WalkContext& ctx, const Path& place, std::optional<Uid> uid,
                   std::optional<Gid> gid) {
  TRY(check_writable(place));
  if (uid) TRY(ask(Category::kChown, place));
  if (gid) TRY(ask(Category::kChgrp, place));
  const Creds& c = *ctx.creds;
  const Attr a = TRY(place.inode().getattr());
  const bool owner = c.fsuid == a.uid;
  const bool may_chown = capable_over(c, CAP_CHOWN, a);
  AttrChange what;
  if (uid) {
    if (!(owner && *uid == a.uid) && !may_chown) return Err(EPERM);
    what.set |= AttrChange::kUid;
    what.uid = *uid;
  }
  if (gid) {
    if (!(owner && (c.in_group(*gid) || *gid == a.gid)) && !may_chown) return Err(EPERM);
    what.set |= AttrChange::kGid;
    what.gid = *gid;
  }
  uint32_t mode = a.mode;
  if (!S_ISDIR(a.mode) && drop_id_bits(mode, in_group_or_capable(c, a))) {
    what.set |= AttrChange::kMode;
    what.mode = mode & 07777;
  }
  TRY(change(place, what));
  // File capabilities do not survive a change of owner either.
  if (S_ISREG(a.mode)) {
    if (auto r = place.inode().removexattr("security.capability");
        !r && !failed_with(r, ENODATA) && !failed_with(r, EOPNOTSUPP)) {
      return r;
    }
  }
  return {};
}

Result<void> utimens(const WalkContext& ctx, const Path& place, const timespec& atime,
                     const timespec& mtime) {
  for (const timespec* t : {&atime, &mtime}) {
    const bool special = t->tv_nsec == UTIME_NOW || t->tv_nsec == UTIME_OMIT;
    if (!special && (t->tv_nsec < 0 || t->tv_nsec >= 1'000'000'000)) return Err(EINVAL);
  }
  if (atime.tv_nsec == UTIME_OMIT && mtime.tv_nsec == UTIME_OMIT) return {};
  TRY(ask(Category::kUtime, place));
  TRY(check_writable(place));
  const Attr a = TRY(place.inode().getattr());
  if (!owner_or_capable(*ctx.creds, a)) {
    // Who may write may also set both times to now.
    const bool both_now = atime.tv_nsec == UTIME_NOW && mtime.tv_nsec == UTIME_NOW;
    if (!both_now) return Err(EPERM);
    TRY(place.inode().permission(kMayWrite, *ctx.creds));
  }
  AttrChange what;
  if (atime.tv_nsec == UTIME_NOW) {
    what.set |= AttrChange::kAtimeNow;
  } else if (atime.tv_nsec != UTIME_OMIT) {
    what.set |= AttrChange::kAtime;
    what.atime = atime;
  }
  if (mtime.tv_nsec == UTIME_NOW) {
    what.set |= AttrChange::kMtimeNow;
  } else if (mtime.tv_nsec != UTIME_OMIT) {
    what.set |= AttrChange::kMtime;
    what.mtime = mtime;
  }
  return change(place, what);
}

Result<void> truncate(const WalkContext& ctx, const Path& place, uint64_t size) {
  Inode& inode = place.inode();
  if (inode.is_dir()) return Err(EISDIR);
  if (!inode.is_regular()) return Err(EINVAL);
  TRY(ask(Category::kTruncate, place));
  TRY(check_writable(place));
  TRY(inode.permission(kMayWrite, *ctx.creds));
  TRY(inode.get_write_access());
  auto done = change_size(inode, *ctx.creds, size);
  inode.put_write_access();
  if (done) notify_dentry(*place.dentry, IN_MODIFY);
  return done;
}

Result<void> ftruncate(File& file, uint64_t size) {
  if (!file.inode().is_regular() || !file.can(File::kWrite)) return Err(EINVAL);
  TRY(ask(Category::kTruncate, file.path()));
  if (file.append_only()) return Err(EPERM);
  TRY(file.truncate(size));
  notify_dentry(*file.path().dentry, IN_MODIFY);
  return {};
}

Result<void> fallocate(File& file, int mode, int64_t offset, int64_t length) {
  if (offset < 0 || length <= 0) return Err(EINVAL);
  constexpr int kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
                         FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE;
  if (mode & ~kKnown) return Err(EOPNOTSUPP);
  const int operation = mode & ~FALLOC_FL_KEEP_SIZE;
  if (operation & (operation - 1)) return Err(EOPNOTSUPP);  // One at a time.
  if ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE)) return Err(EOPNOTSUPP);
  if ((mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)) &&
      (mode & FALLOC_FL_KEEP_SIZE)) {
    return Err(EOPNOTSUPP);
  }
  if (!file.can(File::kWrite)) return Err(EBADF);
  switch (file.inode().type()) {
    case S_IFREG: break;
    case S_IFIFO: return Err(ESPIPE);
    case S_IFDIR: return Err(EISDIR);
    default: return Err(ENODEV);
  }
  if (length > INT64_MAX - offset) return Err(EFBIG);
  TRY(ask(Category::kTruncate, file.path()));
  if (file.append_only()) return Err(EPERM);
  TRY(file.fallocate(mode, uint64_t(offset), uint64_t(length)));
  notify_dentry(*file.path().dentry, IN_MODIFY);
  return {};
}

Result<void> access(const WalkContext& ctx, const Path& place, uint32_t may) {
  Inode& inode = place.inode();
  if ((may & kMayExec) && inode.is_regular() && place.mount && place.mount->has(MS_NOEXEC)) {
    return Err(EACCES);
  }
  TRY(inode.permission(may, *ctx.creds));
  const bool stored = inode.is_regular() || inode.is_dir() || inode.is_symlink();
  if ((may & kMayWrite) && stored) TRY(check_writable(place));
  return {};
}

Result<void> may_execute(const WalkContext& ctx, const Path& place) {
  if (place.inode().is_symlink()) return Err(ELOOP);
  if (!place.inode().is_regular()) return Err(EACCES);
  return access(ctx, place, kMayExec);
}

Result<void> may_enter(const WalkContext& ctx, const Path& place) {
  if (!place.inode().is_dir()) return Err(ENOTDIR);
  return place.inode().permission(kMayExec, *ctx.creds);
}

Result<FsStat> statfs(const Path& place) {
  FsStat s = TRY(place.inode().fs().statfs());
  constexpr uint64_t kValid = 0x20;  // ST_VALID: f_flags is filled in.
  s.flags |= kValid;
  if (!place.mount) return s;
  static constexpr struct {
    unsigned long mount_flag;
    uint64_t shown;
  } kShown[] = {{MS_RDONLY, ST_RDONLY},     {MS_NOSUID, ST_NOSUID},
                {MS_NODEV, ST_NODEV},       {MS_NOEXEC, ST_NOEXEC},
                {MS_NOATIME, ST_NOATIME},   {MS_NODIRATIME, ST_NODIRATIME},
                {MS_RELATIME, ST_RELATIME}, {MS_NOSYMFOLLOW, 0x2000}};
  for (const auto& f : kShown) {
    if (place.mount->has(f.mount_flag)) s.flags |= f.shown;
  }
  if (place.inode().fs().read_only()) s.flags |= ST_RDONLY;
  return s;
}

}  // namespace usk::vfs
