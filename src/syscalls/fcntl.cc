// fcntl(2), but for locks (lock.cc).
#include <fcntl.h>
#include <linux/capability.h>

#include "fs/anon/inotify.h"
#include "fs/mem/mem_regular.h"
#include "fs/pipe/pipe_file.h"
#include "fs/tty/pty.h"
#include "fs/tty/tty_file.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_signals.h"
#include "fs/vfs/locks.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/socket.h"
#include "kernel/signal/file_signals.h"
#include "syscalls/fcntl.h"
#include "syscalls/lock.h"

namespace usk::sys {
namespace {

constexpr int kDupfdQuery = 1027;  // kDupfdQuery: newer than the C library.

struct OwnerEx {
  int32_t type, pid;
};

SyscallResult dup_from(Task& t, Fd fd, uint64_t from, bool cloexec) {
  Ref<File> file = TRY(t.fds->get(fd.n));
  if (from >= t.limit(RLIMIT_NOFILE)) return Err(EINVAL);
  return TRY(t.add_fd(std::move(file), cloexec, int(from)));
}

SyscallResult owner_command(Task& t, File& file, int cmd, uint64_t arg) {
  File::Owner owner = file.owner();
  switch (cmd) {
    case F_GETOWN: {
      const int id = file_owner_id(t, owner);
      return owner.type == F_OWNER_PGRP ? -id : id;
    }
    case F_SETOWN: {
      const int id = int(arg);
      if (id == INT32_MIN) return Err(EINVAL);
      TRY(set_file_owner(t, file, id < 0 ? F_OWNER_PGRP : F_OWNER_PID, id < 0 ? -id : id));
      return 0;
    }
    case F_GETOWN_EX: {
      const OwnerEx ex{owner.id ? owner.type : F_OWNER_PID, file_owner_id(t, owner)};
      TRY(t.mem().put(UserPtr<OwnerEx>{arg}, ex));
      return 0;
    }
    case F_SETOWN_EX: {
      const OwnerEx ex = TRY(t.mem().get(UserPtr<const OwnerEx>{arg}));
      TRY(set_file_owner(t, file, ex.type, ex.pid));
      return 0;
    }
    case F_GETSIG: return owner.signal;
    case F_SETSIG:
      if (arg > 64) return Err(EINVAL);
      owner.signal = int(arg);
      file.set_owner(owner);
      return 0;
  }
  return Err(EINVAL);
}

SyscallResult pipe_size(Task& t, File& file, int cmd, uint64_t arg) {
  auto* end = dynamic_cast<PipeFile*>(&file);
  if (!end) return Err(EBADF);
  if (cmd == F_GETPIPE_SZ) return int64_t(end->pipe().capacity());
  const bool privileged = t.creds->capable_in_root(CAP_SYS_RESOURCE);
  return int64_t(TRY(end->pipe().set_capacity(size_t(uint32_t(arg)), privileged)));
}

SyscallResult seals(File& file, int cmd, uint64_t arg) {
  auto* regular = dynamic_cast<MemRegular*>(&file.inode());
  if (!regular) return Err(EINVAL);
  if (cmd == F_GET_SEALS) return regular->seals();
  if (!file.can(File::kWrite)) return Err(EPERM);
  TRY(regular->add_seals(int(arg)));
  return 0;
}

// Life-time hints of writes: kept by nobody here, as on most file systems; 0 is "not set".
SyscallResult write_hint(Task& t, int cmd, uint64_t arg) {
  constexpr uint64_t kLongest = 5;  // RWH_WRITE_LIFE_EXTREME
  if (cmd == F_GET_RW_HINT || cmd == F_GET_FILE_RW_HINT) {
    TRY(t.mem().put(UserPtr<uint64_t>{arg}, 0));
    return 0;
  }
  if (TRY(t.mem().get(UserPtr<const uint64_t>{arg})) > kLongest) return Err(EINVAL);
  return 0;
}

bool fine_on_path_only(int cmd) {
  return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC || cmd == F_GETFD || cmd == F_SETFD ||
         cmd == F_GETFL || cmd == kDupfdQuery;
}

// Files that signal their owner. Linux: the others take the flag and never do.
bool can_signal(File& file) {
  return dynamic_cast<PipeFile*>(&file) || dynamic_cast<Socket*>(&file) ||
         dynamic_cast<TtyFile*>(&file) || dynamic_cast<PtyMaster*>(&file) ||
         dynamic_cast<InotifyFile*>(&file);
}

SyscallResult set_lease(Task& t, Fd fd, File& file, int type) {
  if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK) return Err(EINVAL);
  Inode& inode = file.inode();
  if (!inode.is_regular()) return Err(EINVAL);
  if (type == F_UNLCK) {
    TRY(inode.locks().leases.set(file.id(), type, {}));
    return 0;
  }
  const Attr a = TRY(inode.getattr());
  if (a.uid != t.creds->fsuid && !capable_over(*t.creds, CAP_LEASE, a)) return Err(EACCES);
  // Nobody may write; for a write lease nobody else may have it open. As Linux, which looks at
  // the counts of the name: its directory's, and that of our own file.
  constexpr int kOwnCounts = 2;
  if (type == F_RDLCK) {
    if (!inode.deny_write_access()) return Err(EAGAIN);
    inode.allow_write_access();
  }
  if (type == F_WRLCK && file.path().dentry->ref_count() > kOwnCounts) return Err(EAGAIN);
  TRY(inode.locks().leases.set(file.id(), type, make_ref<FileSignaller>(file, fd.n)));
  if (!file.owner().id) TRY(set_file_owner(t, file, F_OWNER_PID, t.tgid()));
  return 0;
}

SyscallResult watch_directory(Task& t, Fd fd, File& file, uint32_t what) {
  constexpr uint32_t kKnown = DN_ACCESS | DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB;
  if (!file.inode().is_dir()) return Err(ENOTDIR);
  if (!(what & kKnown)) {
    file.set_directory_mark({});
    return 0;
  }
  // Linux: who asks becomes the owner.
  TRY(set_file_owner(t, file, F_OWNER_PID, t.tgid()));
  auto signaller = make_ref<FileSignaller>(file, fd.n);
  file.set_directory_mark(make_ref<DirectoryMark>(std::move(signaller), what));
  return 0;
}

}  // namespace

Result<void> set_status_flags(Task& t, Fd fd, File& file, int flags) {
  if ((flags & O_NOATIME) && !(file.flags() & O_NOATIME)) {
    if (!owner_or_capable(*t.creds, TRY(file.inode().getattr()))) return Err(EPERM);
  }
  const bool was_async = file.flags() & O_ASYNC, async = flags & O_ASYNC;
  TRY(file.set_flags(flags));
  if (async != was_async && can_signal(file)) {
    file.set_async(async ? make_ref<FileSignaller>(file, fd.n) : Ref<FileSignaller>());
  }
  return {};
}

SyscallResult fcntl(Task& t, Fd fd, int32_t cmd, uint64_t arg) {
  Ref<File> file = TRY(t.file_or_path(fd.n));
  if (file->can(File::kPathOnly) && !fine_on_path_only(cmd)) return Err(EBADF);
  switch (cmd) {
    case F_DUPFD: return dup_from(t, fd, arg, false);
    case F_DUPFD_CLOEXEC: return dup_from(t, fd, arg, true);
    case kDupfdQuery: {
      auto other = t.fds->get(int(arg));
      return other && *other == file ? 1 : 0;
    }
    case F_GETFD: return TRY(t.fds->get_slot(fd.n)).cloexec ? FD_CLOEXEC : 0;
    case F_SETFD: TRY(t.fds->set_cloexec(fd.n, arg & FD_CLOEXEC)); return 0;
    case F_GETFL: return file->flags();
    case F_SETFL: TRY(set_status_flags(t, fd, *file, int(arg))); return 0;
    case F_NOTIFY: return watch_directory(t, fd, *file, uint32_t(arg));
    case F_GETLK:
    case F_OFD_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: return record_lock(t, *file, cmd, arg);
    case F_GETOWN:
    case F_SETOWN:
    case F_GETOWN_EX:
    case F_SETOWN_EX:
    case F_GETSIG:
    case F_SETSIG: return owner_command(t, *file, cmd, arg);
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ: return pipe_size(t, *file, cmd, arg);
    case F_ADD_SEALS:
    case F_GET_SEALS: return seals(*file, cmd, arg);
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
    case F_GET_FILE_RW_HINT:
    case F_SET_FILE_RW_HINT: return write_hint(t, cmd, arg);
    case F_GETLEASE:
      return file->inode().has_locks() ? file->inode().locks().leases.of(file->id()) : F_UNLCK;
    case F_SETLEASE: return set_lease(t, fd, *file, int(arg));
    default: note_unsupported("fcntl " + std::to_string(cmd)); return Err(EINVAL);
  }
}

}  // namespace usk::sys
