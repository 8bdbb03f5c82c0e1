// mount(2), umount2(2), pivot_root(2), name_to_handle_at(2).
#include <linux/capability.h>
#include <sys/mount.h>

#include "kernel/kernel.h"
#include "syscalls/mount_args.h"
#include "syscalls/mount_types.h"

namespace usk::sys {
namespace {

constexpr unsigned long kPropagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
constexpr unsigned long kMagic = 0xc0ed0000, kMagicMask = 0xffff0000;

// The flags of one mount; relatime unless another rule is asked for.
unsigned long mount_flags(unsigned long flags) {
  unsigned long out = flags & Mount::kFlags & ~static_cast<unsigned long>(MS_RELATIME);
  if (!(flags & (MS_NOATIME | MS_STRICTATIME))) out |= MS_RELATIME;
  return out;
}

Result<void> change_propagation(Task& t, const Path& at, unsigned long flags) {
  if (flags & ~(kPropagation | MS_REC | MS_SILENT)) return Err(EINVAL);
  const unsigned long kind = flags & kPropagation;
  if (kind & (kind - 1)) return Err(EINVAL);
  return t.ns.mounts->set_propagation(at, kind, flags & MS_REC);
}

Result<void> remount(Task& t, const Path& at, unsigned long flags, const std::string& options) {
  if (at.dentry != at.mount->root()) return Err(EINVAL);
  if (!(flags & MS_BIND)) TRY(at.mount->fs().remount(options));
  // Without a rule for access times the mount keeps the one it has.
  constexpr unsigned long kAtime = MS_NOATIME | MS_NODIRATIME | MS_RELATIME;
  unsigned long now = mount_flags(flags);
  if (!(flags & (kAtime | MS_STRICTATIME))) now = (now & ~kAtime) | (at.mount->flags() & kAtime);
  return t.ns.mounts->remount(at, now);
}

// Options are a page at most, cut off without a zero.
Result<std::string> get_options(Task& t, uint64_t addr) {
  if (!addr) return std::string();
  return t.mem().get_string({addr}, 4095, EINVAL);
}

Result<std::string> get_optional(Task& t, uint64_t addr) {
  if (!addr) return std::string();
  return t.mem().get_string({addr}, 4095, EINVAL);
}

}  // namespace

bool may_mount(Task& t) {
  return t.creds->capable(CAP_SYS_ADMIN, *t.ns.mounts->owner()) && ask_mount_change();
}

SyscallResult mount(Task& t, uint64_t source, UserPath target, uint64_t type, uint64_t flag_bits,
                    uint64_t data) {
  unsigned long flags = flag_bits;
  if ((flags & kMagicMask) == kMagic) flags &= ~kMagicMask;
  const std::string type_name = TRY(get_optional(t, type));
  const std::string source_name = TRY(get_optional(t, source));
  const std::string options = TRY(get_options(t, data));
  const PathArg where = TRY(get_path(t, target));
  const Path at = TRY(where.walk(kFollow));
  if (!may_mount(t)) return Err(EPERM);
  MountNamespace& ns = *t.ns.mounts;
  if (flags & MS_REMOUNT) {
    TRY(remount(t, at, flags, options));
  } else if (flags & MS_BIND) {
    const Path from = TRY(walk(where.ctx, where.ctx.cwd, source_name, kFollow));
    TRY(ns.bind(from, at, flags & MS_REC));
  } else if (flags & kPropagation) {
    TRY(change_propagation(t, at, flags));
  } else if (flags & MS_MOVE) {
    TRY(ns.move(TRY(walk(where.ctx, where.ctx.cwd, source_name, kFollow)), at));
  } else {
    if (!type) return Err(EINVAL);
    FsTree tree = TRY(make_file_system(t, type_name, options));
    std::string shown = source_name.empty() ? "none" : source_name;
    TRY(ns.attach(Mount::make(std::move(tree), mount_flags(flags), std::move(shown)), at));
  }
  return 0;
}

SyscallResult umount2(Task& t, UserPath target, uint32_t flags) {
  if (flags & ~uint32_t(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) return Err(EINVAL);
  Path at;
  {
    const PathArg p = TRY(get_path(t, target));
    at = TRY(p.walk(flags & UMOUNT_NOFOLLOW ? 0u : uint32_t(kFollow)));
  }
  if (!may_mount(t)) return Err(EPERM);
  if (at.dentry != at.mount->root()) return Err(EINVAL);
  TRY(t.ns.mounts->umount(std::move(at), int(flags)));
  return 0;
}

SyscallResult pivot_root(Task& t, UserPath new_root, UserPath put_old) {
  if (!may_mount(t)) return Err(EPERM);
  const Path to = TRY(TRY(get_path(t, new_root)).walk(kFollow | kWantDirectory));
  const Path old = TRY(TRY(get_path(t, put_old)).walk(kFollow | kWantDirectory));
  const Path root = t.fs->root();
  TRY(t.ns.mounts->pivot_root(root, to, old));
  // Whoever was at the old root goes with it.
  for (const Ref<Task>& other : t.kernel.all_tasks()) {
    Ref<FsState> fs;
    {
      Lock lock(task_mutex);
      fs = other->fs;
    }
    if (!fs) continue;
    if (fs->root() == root) fs->set_root(to);
    if (fs->cwd() == root) fs->set_cwd(to);
  }
  return 0;
}

// No file system here makes handles, as some of Linux's do not.
SyscallResult name_to_handle_at(Task& t, DirFd dir, UserPath path, uint64_t, uint64_t,
                                AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH));
  const uint32_t how = (flags.has(AT_SYMLINK_FOLLOW) ? 0u : uint32_t(AT_SYMLINK_NOFOLLOW)) |
                       (flags.bits & AT_EMPTY_PATH);
  TRY(get_place(t, dir, path, how));
  return Err(EOPNOTSUPP);
}

SyscallResult open_by_handle_at(Task& t, Fd, uint64_t, OpenFlags) {
  if (!t.creds->capable_in_root(CAP_DAC_READ_SEARCH)) return Err(EPERM);
  return Err(ESTALE);
}

}  // namespace usk::sys
