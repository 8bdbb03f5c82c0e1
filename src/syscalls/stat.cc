// stat(2), statx(2), access(2), statfs(2).
#include <sys/sysmacros.h>

#include "syscalls/path_args.h"

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000
#endif
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

namespace usk::sys {
namespace {

KernelStat to_stat(const Task& t, const Attr& a) {
  KernelStat s{};
  s.dev = a.dev, s.ino = a.ino, s.nlink = a.nlink, s.mode = a.mode;
  s.uid = t.creds->user_ns->uid_out(a.uid);
  s.gid = t.creds->user_ns->gid_out(a.gid);
  s.rdev = a.rdev, s.size = int64_t(a.size);
  s.blksize = a.blksize, s.blocks = int64_t(a.blocks);
  s.atime = uint64_t(a.atime.tv_sec), s.atime_nsec = uint64_t(a.atime.tv_nsec);
  s.mtime = uint64_t(a.mtime.tv_sec), s.mtime_nsec = uint64_t(a.mtime.tv_nsec);
  s.ctime = uint64_t(a.ctime.tv_sec), s.ctime_nsec = uint64_t(a.ctime.tv_nsec);
  return s;
}

// What is looked at instead of `place`, of which the policy may show something else.
Result<Path> shown(Task& t, const Path& place) {
  if (const auto mask = installed_guard ? installed_guard->mask_of(place) : std::nullopt) {
    const WalkContext ctx = t.walk_context();
    return walk(ctx, ctx.mounts->root(), *mask, kFollow);
  }
  TRY(ask(Category::kStat, place));
  return place;
}

SyscallResult put_stat(Task& t, const Path& place, UserPtr<KernelStat> buf) {
  TRY(t.mem().put(buf, to_stat(t, TRY(TRY(shown(t, place)).inode().getattr()))));
  return 0;
}

// "/dev/syd/COMMAND" (syd(2)): what is shown of a command that was obeyed. Nothing: another path.
Result<std::optional<Attr>> policy_command(Task& t, UserPath path) {
  if (!installed_guard || path.addr == 0) return std::nullopt;
  const auto done = installed_guard->command(TRY(t.mem().get_path(path)));
  if (!done) return std::nullopt;
  TRY(*done);
  Attr a;
  a.mode = S_IFCHR | 0666;
  a.rdev = makedev(3, 0);  // The version of the commands.
  a.atime = a.mtime = a.ctime = a.btime = {1, 0};
  return a;
}

constexpr uint32_t kStatFlags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;

}  // namespace

SyscallResult stat(Task& t, UserPath path, UserPtr<KernelStat> buf) {
  if (const auto a = TRY(policy_command(t, path))) {
    TRY(t.mem().put(buf, to_stat(t, *a)));
    return 0;
  }
  const Place p = TRY(get_place(t, DirFd{AT_FDCWD}, path, 0));
  return put_stat(t, p.path, buf);
}

SyscallResult lstat(Task& t, UserPath path, UserPtr<KernelStat> buf) {
  if (const auto a = TRY(policy_command(t, path))) {
    TRY(t.mem().put(buf, to_stat(t, *a)));
    return 0;
  }
  const Place p = TRY(get_place(t, DirFd{AT_FDCWD}, path, AT_SYMLINK_NOFOLLOW));
  return put_stat(t, p.path, buf);
}

SyscallResult fstat(Task& t, Fd fd, UserPtr<KernelStat> buf) {
  Ref<File> file = TRY(t.file_or_path(fd.n));
  return put_stat(t, file->path(), buf);
}

SyscallResult newfstatat(Task& t, DirFd dir, UserPath path, UserPtr<KernelStat> buf,
                         AtFlags flags) {
  TRY(flags.only(kStatFlags | AT_STATX_SYNC_TYPE));
  if (const auto a = TRY(policy_command(t, path))) {
    TRY(t.mem().put(buf, to_stat(t, *a)));
    return 0;
  }
  const Place p = TRY(get_place(t, dir, path, flags.bits));
  return put_stat(t, p.path, buf);
}

namespace {

statx_timestamp to_statx_time(const timespec& t) {
  return {.tv_sec = t.tv_sec, .tv_nsec = uint32_t(t.tv_nsec)};
}

struct statx to_statx(const Task& t, const Path& place, const Attr& a, bool unique_id) {
  struct statx s{};
  s.stx_mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
  s.stx_blksize = a.blksize;
  s.stx_nlink = a.nlink;
  s.stx_uid = t.creds->user_ns->uid_out(a.uid);
  s.stx_gid = t.creds->user_ns->gid_out(a.gid);
  s.stx_mode = uint16_t(a.mode);
  s.stx_ino = a.ino, s.stx_size = a.size, s.stx_blocks = a.blocks;
  s.stx_atime = to_statx_time(a.atime), s.stx_btime = to_statx_time(a.btime);
  s.stx_ctime = to_statx_time(a.ctime), s.stx_mtime = to_statx_time(a.mtime);
  s.stx_rdev_major = major(a.rdev), s.stx_rdev_minor = minor(a.rdev);
  s.stx_dev_major = major(a.dev), s.stx_dev_minor = minor(a.dev);
  s.stx_attributes = a.attributes;
  s.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
  if (place.mount) {
    if (place.dentry == place.mount->root()) s.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
    s.stx_mnt_id = unique_id ? place.mount->unique_id() : uint64_t(place.mount->id());
    if (unique_id) s.stx_mask = (s.stx_mask & ~uint32_t(STATX_MNT_ID)) | STATX_MNT_ID_UNIQUE;
  }
  return s;
}

}  // namespace

SyscallResult statx(Task& t, DirFd dir, UserPath path, AtFlags flags, uint32_t mask,
                    UserPtr<struct statx> buf) {
  if (mask & STATX__RESERVED) return Err(EINVAL);
  TRY(flags.only(kStatFlags | AT_STATX_SYNC_TYPE));
  if ((flags.bits & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) return Err(EINVAL);
  if (const auto a = TRY(policy_command(t, path))) {
    TRY(t.mem().put(buf, to_statx(t, Path(), *a, false)));
    return 0;
  }
  const Place p = TRY(get_place(t, dir, path, flags.bits));
  const Path place = TRY(shown(t, p.path));
  TRY(t.mem().put(buf,
                  to_statx(t, place, TRY(place.inode().getattr()), mask & STATX_MNT_ID_UNIQUE)));
  return 0;
}

namespace {

// access(2) asks for the real ids, with the capabilities those would have.
Ref<const Creds> real_creds(const Creds& c) {
  Ref<Creds> real = c.clone();
  real->fsuid = c.uid;
  real->fsgid = c.gid;
  constexpr uint32_t kNoSetuidFixup = 1u << 2;
  if (!(c.securebits & kNoSetuidFixup)) {
    real->effective = c.user_ns->uid_out(c.uid) == 0 ? c.permitted : 0;
  }
  return real;
}

SyscallResult check_access(Task& t, DirFd dir, UserPath path, int32_t mode, uint32_t flags) {
  if (mode & ~(R_OK | W_OK | X_OK)) return Err(EINVAL);
  if (flags & ~uint32_t(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) return Err(EINVAL);
  if (TRY(policy_command(t, path))) return 0;
  // The walk, too, is that of the real user.
  PathArg p = TRY(get_path(t, dir, path));
  if (!(flags & AT_EACCESS)) p.ctx.creds = real_creds(*t.creds);
  const uint32_t walk_flags = (flags & AT_SYMLINK_NOFOLLOW ? 0u : uint32_t(kFollow)) |
                              (flags & AT_EMPTY_PATH ? uint32_t(kEmptyPath) : 0u);
  const Path place = TRY(shown(t, TRY(p.walk(walk_flags))));
  if (mode != F_OK) TRY(vfs::access(p.ctx, place, uint32_t(mode)));
  return 0;
}

}  // namespace

SyscallResult access(Task& t, UserPath path, int32_t mode) {
  return check_access(t, DirFd{AT_FDCWD}, path, mode, 0);
}
SyscallResult faccessat(Task& t, DirFd dir, UserPath path, int32_t mode) {
  return check_access(t, dir, path, mode, 0);
}
SyscallResult faccessat2(Task& t, DirFd dir, UserPath path, int32_t mode, AtFlags flags) {
  return check_access(t, dir, path, mode, flags.bits);
}

namespace {

SyscallResult put_statfs(Task& t, const Path& place, UserPtr<struct statfs> buf) {
  const FsStat f = TRY(vfs::statfs(TRY(shown(t, place))));
  struct statfs s{};
  s.f_type = long(f.type), s.f_bsize = long(f.bsize);
  s.f_blocks = f.blocks, s.f_bfree = f.bfree, s.f_bavail = f.bavail;
  s.f_files = f.files, s.f_ffree = f.ffree;
  s.f_fsid.__val[0] = int(f.fsid), s.f_fsid.__val[1] = int(f.fsid >> 32);
  s.f_namelen = long(f.namelen), s.f_frsize = long(f.frsize), s.f_flags = long(f.flags);
  TRY(t.mem().put(buf, s));
  return 0;
}

}  // namespace

SyscallResult statfs(Task& t, UserPath path, UserPtr<struct statfs> buf) {
  const Place p = TRY(get_place(t, DirFd{AT_FDCWD}, path, 0));
  return put_statfs(t, p.path, buf);
}

SyscallResult fstatfs(Task& t, Fd fd, UserPtr<struct statfs> buf) {
  return put_statfs(t, TRY(t.file_or_path(fd.n))->path(), buf);
}

SyscallResult ustat(Task& t, uint32_t dev, UserPtr<UstatBuffer> buf) {
  for (const Ref<Mount>& m : t.ns.mounts->list()) {
    if (m->fs().dev() != dev) continue;
    const FsStat f = TRY(m->fs().statfs());
    TRY(t.mem().put(buf, UstatBuffer{.free_blocks = int32_t(f.bfree), .free_inodes = f.ffree}));
    return 0;
  }
  return Err(EINVAL);
}

namespace {

// No file system here has the attributes of chattr(1): it answers as one without them does.
SyscallResult no_attributes(Task& t, DirFd dir, UserPath path, uint64_t size, AtFlags flags) {
  constexpr uint64_t kOldest = 24;
  TRY(flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  if (size > 4096) return Err(E2BIG);
  if (size < kOldest) return Err(EINVAL);
  const Place p = TRY(get_place(t, dir, path, flags.bits));
  TRY(ask(Category::kStat, p.path));
  return Err(EOPNOTSUPP);
}

}  // namespace

SyscallResult file_getattr(Task& t, DirFd dir, UserPath path, uint64_t, uint64_t size,
                           AtFlags flags) {
  return no_attributes(t, dir, path, size, flags);
}
SyscallResult file_setattr(Task& t, DirFd dir, UserPath path, uint64_t attributes, uint64_t size,
                           AtFlags flags) {
  return no_attributes(t, dir, path, size, flags);
}

}  // namespace usk::sys
