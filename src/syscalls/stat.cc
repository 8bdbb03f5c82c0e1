// stat(2), fstat(2), lstat(2), newfstatat(2), statx(2), access(2), faccessat2(2), statfs(2),
// readlink(2).
#include <linux/capability.h>
#include <linux/stat.h>
#include <sys/sysmacros.h>

#include "syscalls/at.h"

namespace usk::sys {
namespace {

KernelStat to_stat(const Task& t, const Attr& a) {
  const UserNamespace& ns = *t.creds->user_ns;
  KernelStat s{};
  s.dev = a.dev, s.ino = a.ino, s.nlink = a.nlink;
  s.mode = a.mode, s.uid = ns.uid_out(a.uid), s.gid = ns.gid_out(a.gid);
  s.rdev = a.rdev;
  s.size = int64_t(a.size), s.blksize = a.blksize, s.blocks = int64_t(a.blocks);
  s.atime = uint64_t(a.atime.tv_sec), s.atime_nsec = uint64_t(a.atime.tv_nsec);
  s.mtime = uint64_t(a.mtime.tv_sec), s.mtime_nsec = uint64_t(a.mtime.tv_nsec);
  s.ctime = uint64_t(a.ctime.tv_sec), s.ctime_nsec = uint64_t(a.ctime.tv_nsec);
  return s;
}

SyscallResult put_stat(Task& t, const Path& place, UserPtr<KernelStat> out) {
  TRY(t.mem().put(out, to_stat(t, TRY(place.inode().getattr()))));
  return 0;
}

statx_timestamp to_timestamp(const timespec& ts) {
  statx_timestamp s{};
  s.tv_sec = ts.tv_sec;
  s.tv_nsec = uint32_t(ts.tv_nsec);
  return s;
}

}  // namespace

SyscallResult stat(Task& t, UserPath path, UserPtr<KernelStat> out) {
  return put_stat(t, TRY(find_at(t, {AT_FDCWD}, path, 0, true)), out);
}

SyscallResult lstat(Task& t, UserPath path, UserPtr<KernelStat> out) {
  return put_stat(t, TRY(find_at(t, {AT_FDCWD}, path, 0, false)), out);
}

SyscallResult fstat(Task& t, Fd fd, UserPtr<KernelStat> out) {
  return put_stat(t, TRY(t.file_or_path(fd.n))->path(), out);
}

SyscallResult newfstatat(Task& t, DirFd dir, UserPath path, UserPtr<KernelStat> out,
                         AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH));
  return put_stat(t, TRY(find_at(t, dir, path, flags.bits, true)), out);
}

SyscallResult statx(Task& t, DirFd dir, UserPath path, AtFlags flags, uint32_t mask,
                    UserPtr<struct statx> out) {
  if (mask & STATX__RESERVED) return Err(EINVAL);
  if ((flags.bits & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) return Err(EINVAL);
  TRY(flags.only(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE));
  const Path place = TRY(find_at(t, dir, path, flags.bits, true));
  const Attr a = TRY(place.inode().getattr());
  const KernelStat s = to_stat(t, a);
  struct statx x {};
  x.stx_mask = STATX_BASIC_STATS | (a.btime.tv_sec ? STATX_BTIME : 0) | STATX_MNT_ID;
  x.stx_blksize = a.blksize;
  x.stx_attributes = a.attributes;
  x.stx_nlink = a.nlink;
  x.stx_uid = s.uid, x.stx_gid = s.gid;
  x.stx_mode = uint16_t(a.mode);
  x.stx_ino = a.ino, x.stx_size = a.size, x.stx_blocks = a.blocks;
  x.stx_attributes_mask = STATX_ATTR_APPEND | STATX_ATTR_IMMUTABLE | STATX_ATTR_MOUNT_ROOT;
  if (place.mount && place.dentry == place.mount->root()) x.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
  x.stx_atime = to_timestamp(a.atime), x.stx_mtime = to_timestamp(a.mtime);
  x.stx_ctime = to_timestamp(a.ctime), x.stx_btime = to_timestamp(a.btime);
  x.stx_rdev_major = major(a.rdev), x.stx_rdev_minor = minor(a.rdev);
  x.stx_dev_major = major(a.dev), x.stx_dev_minor = minor(a.dev);
  x.stx_mnt_id = place.mount ? uint64_t(place.mount->id()) : 0;
  TRY(t.mem().put(out, x));
  return 0;
}

SyscallResult faccessat2(Task& t, DirFd dir, UserPath path, int32_t mode, AtFlags flags) {
  if (mode & ~(R_OK | W_OK | X_OK)) return Err(EINVAL);
  TRY(flags.only(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  std::string name;
  if (path.addr || !flags.has(AT_EMPTY_PATH)) name = TRY(t.mem().get_path(path));
  WalkContext ctx = t.walk_context();
  if (!flags.has(AT_EACCESS)) {
    // access(2): with the real ids, and the capabilities a program of that user would have.
    Ref<Creds> c = t.creds->clone();
    c->fsuid = c->uid;
    c->fsgid = c->gid;
    if (!(c->securebits & (1 << 2 /* SECBIT_NO_SETUID_FIXUP */))) {
      const bool root = c->uid == c->user_ns->uid_in(0).value_or(UINT32_MAX);
      c->effective = root ? c->permitted : 0;
    }
    ctx.creds = c;
  }
  const uint32_t walk_flags = (flags.has(AT_SYMLINK_NOFOLLOW) ? 0u : uint32_t(kFollow)) |
                              (flags.has(AT_EMPTY_PATH) ? uint32_t(kEmptyPath) : 0u);
  const Path place = TRY(walk(ctx, TRY(start_of(t, dir, name)), name, walk_flags));
  if (mode) TRY(vfs::access(ctx, place, uint32_t(mode)));
  return 0;
}

SyscallResult faccessat(Task& t, DirFd dir, UserPath path, int32_t mode) {
  return faccessat2(t, dir, path, mode, {0});
}

SyscallResult access(Task& t, UserPath path, int32_t mode) {
  return faccessat2(t, {AT_FDCWD}, path, mode, {0});
}

SyscallResult readlinkat(Task& t, DirFd dir, UserPath path, UserOut buf) {
  if (int32_t(buf.len) <= 0) return Err(EINVAL);
  const std::string name = TRY(t.mem().get_path(path));
  const Path link = TRY(walk(t.walk_context(), TRY(start_of(t, dir, name)), name, kEmptyPath));
  if (!link.inode().is_symlink()) return Err(name.empty() ? ENOENT : EINVAL);
  std::string text = TRY(vfs::readlink(t.walk_context(), link));
  text.resize(std::min<size_t>(text.size(), buf.len));
  TRY(t.mem().copy_out(buf.addr, std::as_bytes(std::span(text))));
  return text.size();
}

SyscallResult readlink(Task& t, UserPath path, UserOut buf) {
  return readlinkat(t, {AT_FDCWD}, path, buf);
}

}  // namespace usk::sys
