// chmod(2), chown(2), utimensat(2), truncate(2), fallocate(2), fsync(2), fadvise64(2).
#include <sys/signal.h>
#include <utime.h>

#include "fs/vfs/locks.h"
#include "kernel/signal/send.h"
#include "syscalls/lease_wait.h"
#include "syscalls/path_args.h"

namespace usk::sys {

SyscallResult fchmodat2(Task& t, DirFd dir, UserPath path, ModeBits mode, AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  const Place p = TRY(get_place(t, dir, path, flags.bits));
  TRY(vfs::chmod(p.ctx, p.path, mode.bits));
  return 0;
}
SyscallResult fchmodat(Task& t, DirFd dir, UserPath path, ModeBits mode) {
  return fchmodat2(t, dir, path, mode, AtFlags{0});
}
SyscallResult chmod(Task& t, UserPath path, ModeBits mode) {
  return fchmodat2(t, DirFd{AT_FDCWD}, path, mode, AtFlags{0});
}
SyscallResult fchmod(Task& t, Fd fd, ModeBits mode) {
  const Place p = TRY(place_of_fd(t, fd, false));
  TRY(vfs::chmod(p.ctx, p.path, mode.bits));
  return 0;
}

namespace {

SyscallResult change_owner(Task& t, const Place& p, uint32_t uid, uint32_t gid) {
  std::optional<Uid> to_uid;
  std::optional<Gid> to_gid;
  if (uid != uint32_t(-1)) {
    to_uid = t.creds->user_ns->uid_in(uid);
    if (!to_uid) return Err(EINVAL);
  }
  if (gid != uint32_t(-1)) {
    to_gid = t.creds->user_ns->gid_in(gid);
    if (!to_gid) return Err(EINVAL);
  }
  TRY(vfs::chown(p.ctx, p.path, to_uid, to_gid));
  return 0;
}

}  // namespace

SyscallResult fchownat(Task& t, DirFd dir, UserPath path, uint32_t uid, uint32_t gid,
                       AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  return change_owner(t, TRY(get_place(t, dir, path, flags.bits)), uid, gid);
}
SyscallResult chown(Task& t, UserPath path, uint32_t uid, uint32_t gid) {
  return fchownat(t, DirFd{AT_FDCWD}, path, uid, gid, AtFlags{0});
}
SyscallResult lchown(Task& t, UserPath path, uint32_t uid, uint32_t gid) {
  return fchownat(t, DirFd{AT_FDCWD}, path, uid, gid, AtFlags{AT_SYMLINK_NOFOLLOW});
}
SyscallResult fchown(Task& t, Fd fd, uint32_t uid, uint32_t gid) {
  return change_owner(t, TRY(place_of_fd(t, fd, false)), uid, gid);
}

namespace {

// A null path means the descriptor itself.
SyscallResult set_times(Task& t, DirFd dir, UserPath path, const timespec (&times)[2],
                        AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  Place p;
  if (path.addr == 0) {
    if (dir.n == AT_FDCWD) return Err(EFAULT);
    if (flags.bits & ~uint32_t(AT_EMPTY_PATH)) return Err(EINVAL);
    p = TRY(place_of_fd(t, Fd{dir.n}, false));
  } else {
    p = TRY(get_place(t, dir, path, flags.bits));
  }
  TRY(vfs::utimens(p.ctx, p.path, times[0], times[1]));
  return 0;
}

constexpr timespec kNow[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};

SyscallResult set_times_of_day(Task& t, DirFd dir, UserPath path, UserPtr<const timeval> times) {
  if (!times) return set_times(t, dir, path, kNow, AtFlags{0});
  timespec ts[2];
  for (int i = 0; i < 2; i++) {
    const timeval tv = TRY(t.mem().get(times + uint64_t(i)));
    if (tv.tv_usec < 0 || tv.tv_usec >= 1'000'000) return Err(EINVAL);
    ts[i] = {tv.tv_sec, tv.tv_usec * 1000};
  }
  return set_times(t, dir, path, ts, AtFlags{0});
}

}  // namespace

SyscallResult utimensat(Task& t, DirFd dir, UserPath path, UserPtr<const KernelTimespec> times,
                        AtFlags flags) {
  if (!times) return set_times(t, dir, path, kNow, flags);
  const auto a = TRY(t.mem().get(times)), b = TRY(t.mem().get(times + 1));
  const timespec ts[2] = {{a.sec, a.nsec}, {b.sec, b.nsec}};
  // Nothing to do, and so nothing to look up.
  if (ts[0].tv_nsec == UTIME_OMIT && ts[1].tv_nsec == UTIME_OMIT) return 0;
  return set_times(t, dir, path, ts, flags);
}
SyscallResult futimesat(Task& t, DirFd dir, UserPath path, UserPtr<const timeval> times) {
  return set_times_of_day(t, dir, path, times);
}
SyscallResult utimes(Task& t, UserPath path, UserPtr<const timeval> times) {
  return set_times_of_day(t, DirFd{AT_FDCWD}, path, times);
}
SyscallResult utime(Task& t, UserPath path, UserPtr<const int64_t> times) {
  if (!times) return set_times(t, DirFd{AT_FDCWD}, path, kNow, AtFlags{0});
  const timespec ts[2] = {{TRY(t.mem().get(times)), 0}, {TRY(t.mem().get(times + 1)), 0}};
  return set_times(t, DirFd{AT_FDCWD}, path, ts, AtFlags{0});
}

namespace {

// RLIMIT_FSIZE: beyond it, EFBIG and a signal.
Result<void> check_size_limit(Task& t, Inode& inode, uint64_t size) {
  if (!inode.is_regular() || size <= t.limit(RLIMIT_FSIZE)) return {};
  if (TRY(inode.getattr()).size >= size) return {};
  Lock lock(task_mutex);
  siginfo_t info = user_siginfo(SIGXFSZ, SI_USER, t.tgid(), t.creds->uid);
  (void)send_signal(t, info, SignalScope::kTask);
  return Err(EFBIG);
}

}  // namespace

SyscallResult truncate(Task& t, UserPath path, int64_t length) {
  if (length < 0) return Err(EINVAL);
  const Place p = TRY(get_place(t, DirFd{AT_FDCWD}, path, 0));
  Inode& inode = p.path.inode();
  if (Leases::any() && inode.is_regular() && inode.has_locks()) {
    TRY(vfs::access(p.ctx, p.path, kMayWrite));
    Leases& leases = inode.locks().leases;
    const bool force = waited_for_lease(t);
    if (!leases.check_open(true, force)) {
      t.waits().add(Leases::queue(), POLLIN);
      if (!leases.check_open(true, force)) return Block{.until = t.deadline(kLeaseBreakTime)};
    }
  }
  TRY(check_size_limit(t, p.path.inode(), uint64_t(length)));
  TRY(vfs::truncate(p.ctx, p.path, uint64_t(length)));
  return 0;
}

SyscallResult ftruncate(Task& t, Fd fd, int64_t length) {
  if (length < 0) return Err(EINVAL);
  Ref<File> file = TRY(t.file(fd.n));
  TRY(check_size_limit(t, file->inode(), uint64_t(length)));
  TRY(vfs::ftruncate(*file, uint64_t(length)));
  return 0;
}

SyscallResult fallocate(Task& t, Fd fd, int32_t mode, int64_t offset, int64_t length) {
  Ref<File> file = TRY(t.file(fd.n));
  if (mode == 0 && offset >= 0 && length > 0 && length <= INT64_MAX - offset) {
    TRY(check_size_limit(t, file->inode(), uint64_t(offset + length)));
  }
  TRY(vfs::fallocate(*file, mode, offset, length));
  return 0;
}

SyscallResult fsync(Task& t, Fd fd) {
  TRY(TRY(t.file(fd.n))->fsync(false));
  return 0;
}
SyscallResult fdatasync(Task& t, Fd fd) {
  TRY(TRY(t.file(fd.n))->fsync(true));
  return 0;
}

// Memory has nothing to write out, and the host writes out what is its own.
SyscallResult sync(Task&) { return 0; }
SyscallResult syncfs(Task& t, Fd fd) {
  TRY(t.file(fd.n));
  return 0;
}

SyscallResult sync_file_range(Task& t, Fd fd, int64_t offset, int64_t length, uint32_t flags) {
  Ref<File> file = TRY(t.file(fd.n));
  constexpr uint32_t kKnown = 1 | 2 | 4;  // SYNC_FILE_RANGE_*
  if ((flags & ~kKnown) || offset < 0 || length < 0 || length > INT64_MAX - offset) {
    return Err(EINVAL);
  }
  const uint32_t type = file->inode().type();
  if (type != S_IFREG && type != S_IFBLK && type != S_IFDIR && type != S_IFLNK) {
    return Err(ESPIPE);
  }
  return 0;
}

SyscallResult fadvise64(Task& t, Fd fd, int64_t offset, int64_t length, int32_t advice) {
  Ref<File> file = TRY(t.file(fd.n));
  if (file->inode().type() == S_IFIFO) return Err(ESPIPE);
  if (length < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE) return Err(EINVAL);
  return 0;
}

SyscallResult readahead(Task& t, Fd fd, int64_t offset, uint64_t count) {
  Ref<File> file = TRY(t.file(fd.n));
  if (!file->can(File::kRead)) return Err(EBADF);
  const uint32_t type = file->inode().type();
  if (type != S_IFREG && type != S_IFBLK) return Err(EINVAL);
  return 0;
}

}  // namespace usk::sys
