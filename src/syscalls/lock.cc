// flock(2); record locks of fcntl(2).
#include "syscalls/lock.h"
#include "state/saved.h"

#include <sys/file.h>

#include "fs/vfs/locks.h"

namespace usk::sys {
namespace {

struct KernelFlock {
  int16_t type, whence;
  int32_t pad = 0;
  int64_t start, len;
  int32_t pid, pad2 = 0;
};
static_assert(sizeof(KernelFlock) == 32);

// The range that l_whence, l_start and l_len mean.
Result<void> set_range(File& file, const KernelFlock& f, RecordLock& lock) {
  int64_t base = 0;
  switch (f.whence) {
    case SEEK_SET: break;
    case SEEK_CUR: {
      Lock pos(file.pos_mutex());
      base = int64_t(file.pos_locked());
      break;
    }
    case SEEK_END: base = int64_t(TRY(file.inode().getattr()).size); break;
    default: return Err(EINVAL);
  }
  int64_t start;
  if (__builtin_add_overflow(base, f.start, &start)) return Err(EOVERFLOW);
  if (start < 0) return Err(EINVAL);
  if (f.len > 0) {
    if (__builtin_add_overflow(start, f.len - 1, &lock.end)) return Err(EOVERFLOW);
    lock.start = start;
  } else if (f.len < 0) {
    if (f.len == INT64_MIN || start + f.len < 0) return Err(EINVAL);
    lock.start = start + f.len;
    lock.end = start - 1;
  } else {
    lock.start = start;
    lock.end = INT64_MAX;
  }
  return {};
}

// What a waiting call is noted as, until the wait is over however it ends.
struct NotedWait {
  std::optional<LockOwner> owner;
  ~NotedWait() { done(); }
  void done() {
    if (owner) FileLocks::end_wait(*owner);
    owner.reset();
  }
  // Noted again by the call itself, which looks at its lock first.
  USK_FIELDS()
};

USK_SAVED(NotedWait, "syscalls/noted-wait")

SyscallResult get_lock(Task& t, File& file, KernelFlock f, RecordLock lock, uint64_t arg) {
  if (f.type != F_RDLCK && f.type != F_WRLCK) return Err(EINVAL);
  if (auto other = file.inode().locks().conflict(lock)) {
    f.type = int16_t(other->type);
    f.whence = SEEK_SET;
    f.start = other->start;
    f.len = other->end == INT64_MAX ? 0 : other->end - other->start + 1;
    f.pid = other->owner.pid;
  } else {
    f.type = F_UNLCK;
  }
  TRY(t.mem().put(UserPtr<KernelFlock>{arg}, f));
  return 0;
}

SyscallResult set_lock(Task& t, File& file, const RecordLock& lock, bool wait) {
  FileLocks& locks = file.inode().locks();
  auto done = locks.set(lock);
  if (!wait || !failed_with(done, EAGAIN)) {
    TRY(done);
    return 0;
  }
  auto& noted = t.extra<NotedWait>();
  noted.done();
  t.waits().add(locks.queue(), POLLIN, Ref<RefCounted>::share(&file));
  TRY(locks.begin_wait(lock));
  noted.owner = lock.owner;
  done = locks.set(lock);
  if (failed_with(done, EAGAIN)) return Block{};
  noted.done();
  TRY(done);
  return 0;
}

}  // namespace

SyscallResult record_lock(Task& t, File& file, int cmd, uint64_t arg) {
  const bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
  const KernelFlock f = TRY(t.mem().get(UserPtr<const KernelFlock>{arg}));
  if (ofd && f.pid != 0) return Err(EINVAL);
  RecordLock lock;
  lock.type = f.type;
  if (ofd) {
    lock.owner = {LockOwner::Kind::kOfd, file.id(), -1};
  } else {
    lock.owner = {LockOwner::Kind::kPosix, t.fds->id(), t.tgid()};
  }
  TRY(set_range(file, f, lock));
  if (cmd == F_GETLK || cmd == F_OFD_GETLK) return get_lock(t, file, f, lock, arg);
  switch (f.type) {
    case F_RDLCK:
      if (!file.can(File::kRead)) return Err(EBADF);
      break;
    case F_WRLCK:
      if (!file.can(File::kWrite)) return Err(EBADF);
      break;
    case F_UNLCK: break;
    default: return Err(EINVAL);
  }
  return set_lock(t, file, lock, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

SyscallResult flock(Task& t, Fd fd, int32_t operation) {
  Ref<File> file = TRY(t.file(fd.n));
  const int kind = operation & ~LOCK_NB;
  if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN) return Err(EINVAL);
  FileLocks& locks = file->inode().locks();
  auto done = locks.flock(file->id(), kind, t.group->pid->root_nr());
  if (failed_with(done, EAGAIN) && !(operation & LOCK_NB)) {
    t.waits().add(locks.queue(), POLLIN, file);
    done = locks.flock(file->id(), kind, t.group->pid->root_nr());
    if (failed_with(done, EAGAIN)) return Block{};
  }
  TRY(done);
  return 0;
}

}  // namespace usk::sys
