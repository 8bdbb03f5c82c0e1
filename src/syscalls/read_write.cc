// read(2), write(2), pread(2), readv(2), preadv2(2), ioctl(2).
#include <fmt/format.h>

#include "fs/vfs/notify.h"
#include "kernel/kernel.h"
#include "kernel/seccomp/notify_file.h"
#include "kernel/signal/send.h"
#include "kernel/task/caller.h"
#include "kernel/task/network_namespace.h"
#include "kernel/wait/block_on.h"
#include "net/inet/device_ioctl.h"
#include "syscalls/fcntl.h"
#include "syscalls/syscalls.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

namespace usk::sys {
namespace {

// Who may use the file at all, and whether the terminal lets a background process go on.
Result<Ref<File>> ready_file(Task& t, Fd fd, uint32_t mode) {
  Ref<File> file = TRY(t.file(fd.n));
  if (!file->can(mode)) return Err(EBADF);
  return file;
}

// proc_pid_io(5): calls that ended, and the bytes of those that did not fail.
void count_io(const SyscallResult& r, uint64_t& calls, uint64_t& bytes) {
  const int64_t* n = r ? std::get_if<int64_t>(&r->v_) : nullptr;
  if (r && !n) return;
  calls++;
  if (n) bytes += uint64_t(*n);
}

SyscallResult after_read(Task& t, SyscallResult r) {
  count_io(r, t.usage.reads, t.usage.read_chars);
  return r;
}

// Sockets of datagrams tell only the caller.
bool raises_sigpipe(Task& t, Fd fd) {
  const auto file = t.fds->get(fd.n);
  const auto* socket = file ? dynamic_cast<const Socket*>(file->get()) : nullptr;
  return !socket || socket->raises_sigpipe();
}

SyscallResult after_write(Task& t, Fd fd, SyscallResult r) {
  count_io(r, t.usage.writes, t.usage.written_chars);
  if (!r && r.error() == Errno(EPIPE) && raises_sigpipe(t, fd)) {
    Lock lock(task_mutex);
    siginfo_t info = user_siginfo(SIGPIPE, SI_USER, t.tgid(), t.creds->uid);
    (void)send_signal(t, info, SignalScope::kTask);
  }
  return r;
}

Result<UserBuffers> buffers_of(Task&, uint64_t addr, uint64_t len) {
  if (int64_t(len) < 0) return Err(EINVAL);
  return UserBuffers(addr, len);
}

// inotify(7): IN_ACCESS and IN_MODIFY.
void tell_watchers(File& file, const Result<size_t>& done, uint32_t event) {
  if (anyone_watches() && done.value_or(0) > 0 && file.path()) {
    notify_dentry(*file.path().dentry, event);
  }
}

SyscallResult do_read(Task& t, Ref<File> file, UserBuffers buffers, std::optional<uint64_t> at,
                      bool nonblocking) {
  TaskCaller caller(t);
  if (TRY(file->before_io(caller, false)) == File::IoVerdict::kSignalled) return Signalled{};
  auto attempt = [&]() -> Result<size_t> {
    GuestOut dst(t.mem(), buffers);
    if (at) {
      uint64_t pos = *at;
      return file->read(dst, pos);
    }
    if (!file->can(File::kSeek)) {
      uint64_t unused = 0;
      return file->read(dst, unused);
    }
    Lock lock(file->pos_mutex());
    return file->read(dst, file->pos_locked());
  };
  auto op = [&]() -> Result<size_t> {
    auto n = attempt();
    tell_watchers(*file, n, IN_ACCESS);
    return n;
  };
  return after_read(t, block_on(t, *file, POLLIN, op, nonblocking || file->nonblocking()));
}

// RLIMIT_FSIZE: how much of a write at `pos` a regular file may take. EFBIG and SIGXFSZ for none.
Result<uint64_t> room_in_file(Task& t, File& file, uint64_t pos, uint64_t length) {
  const uint64_t limit = t.limit(RLIMIT_FSIZE);
  if (limit == RLIM64_INFINITY || length == 0 || !file.inode().is_regular()) return length;
  if (file.flags() & O_APPEND) pos = TRY(file.inode().getattr()).size;
  if (pos >= limit) {
    Lock lock(task_mutex);
    (void)send_signal(t, kernel_siginfo(SIGXFSZ), SignalScope::kTask);
    return Err(EFBIG);
  }
  return std::min(length, limit - pos);
}

// Cuts buffers to `length` bytes.
void truncate_buffers(UserBuffers& buffers, uint64_t length) {
  for (iovec& part : buffers.parts()) {
    part.iov_len = std::min<uint64_t>(part.iov_len, length);
    length -= part.iov_len;
  }
}

// A blocking write goes on until all is written; what was done before a wait is kept as progress.
SyscallResult do_write(Task& t, Ref<File> file, UserBuffers buffers, std::optional<uint64_t> at,
                       bool nonblocking) {
  TaskCaller caller(t);
  if (TRY(file->before_io(caller, true)) == File::IoVerdict::kSignalled) return Signalled{};
  auto attempt = [&]() -> Result<size_t> {
    GuestIn src(t.mem(), buffers, size_t(t.frame.progress));
    if (at) {
      uint64_t pos = *at;
      return file->write_by(caller, src, pos);
    }
    if (!file->can(File::kSeek)) {
      uint64_t unused = 0;
      return file->write_by(caller, src, unused);
    }
    Lock lock(file->pos_mutex());
    return file->write_by(caller, src, file->pos_locked());
  };
  if (file->inode().is_regular()) {
    uint64_t pos = at.value_or(0);
    if (!at) {
      Lock lock(file->pos_mutex());
      pos = file->pos_locked();
    }
    truncate_buffers(buffers, TRY(room_in_file(t, *file, pos, buffers.total())));
  }
  auto op = [&]() -> Result<size_t> {
    auto n = attempt();
    tell_watchers(*file, n, IN_MODIFY);
    return n;
  };
  nonblocking = nonblocking || file->nonblocking();
  const size_t total = buffers.total();
  for (;;) {
    auto r = block_on(t, *file, POLLOUT, op, nonblocking);
    auto* n = r ? std::get_if<int64_t>(&r->v_) : nullptr;
    if (!n) {
      if (!r && t.frame.progress > 0) return t.frame.progress;
      return r;
    }
    t.frame.progress += *n;
    const bool stream = !file->can(File::kSeek) && !at;
    if (*n == 0 || !stream || nonblocking || size_t(t.frame.progress) >= total) {
      return t.frame.progress;
    }
  }
}

Result<std::optional<uint64_t>> position_of(File& file, int64_t offset) {
  if (offset < 0) return Err(EINVAL);
  if (!file.can(File::kPread)) return Err(ESPIPE);
  return uint64_t(offset);
}

}  // namespace

SyscallResult read(Task& t, Fd fd, UserOut buf) {
  Ref<File> file = TRY(ready_file(t, fd, File::kRead));
  return do_read(t, file, TRY(buffers_of(t, buf.addr, buf.len)), std::nullopt, false);
}

SyscallResult write(Task& t, Fd fd, UserIn buf) {
  Ref<File> file = TRY(ready_file(t, fd, File::kWrite));
  return after_write(t, fd,
                     do_write(t, file, TRY(buffers_of(t, buf.addr, buf.len)), std::nullopt, false));
}

SyscallResult pread64(Task& t, Fd fd, UserOut buf, int64_t offset) {
  if (offset < 0) return Err(EINVAL);
  Ref<File> file = TRY(ready_file(t, fd, File::kRead));
  auto at = TRY(position_of(*file, offset));
  return do_read(t, file, TRY(buffers_of(t, buf.addr, buf.len)), at, false);
}

SyscallResult pwrite64(Task& t, Fd fd, UserIn buf, int64_t offset) {
  if (offset < 0) return Err(EINVAL);
  Ref<File> file = TRY(ready_file(t, fd, File::kWrite));
  auto at = TRY(position_of(*file, offset));
  return after_write(t, fd, do_write(t, file, TRY(buffers_of(t, buf.addr, buf.len)), at, false));
}

SyscallResult readv(Task& t, Fd fd, UserIov iov) {
  Ref<File> file = TRY(ready_file(t, fd, File::kRead));
  UserMemory mem = t.mem();
  return do_read(t, file, TRY(get_iovecs(mem, iov)), std::nullopt, false);
}

SyscallResult writev(Task& t, Fd fd, UserIov iov) {
  Ref<File> file = TRY(ready_file(t, fd, File::kWrite));
  UserMemory mem = t.mem();
  return after_write(t, fd, do_write(t, file, TRY(get_iovecs(mem, iov)), std::nullopt, false));
}

SyscallResult preadv2(Task& t, Fd fd, UserIov iov, uint64_t low, uint64_t, int32_t flags) {
  constexpr int kKnown = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
  const int64_t offset = int64_t(low);
  if (offset < -1) return Err(EINVAL);
  if (flags & ~kKnown) return Err(EOPNOTSUPP);
  Ref<File> file = TRY(ready_file(t, fd, File::kRead));
  std::optional<uint64_t> at;
  if (offset != -1) at = TRY(position_of(*file, offset));
  UserMemory mem = t.mem();
  return do_read(t, file, TRY(get_iovecs(mem, iov)), at, flags & RWF_NOWAIT);
}

SyscallResult pwritev2(Task& t, Fd fd, UserIov iov, uint64_t low, uint64_t, int32_t flags) {
  constexpr int kKnown = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
  const int64_t offset = int64_t(low);
  if (offset < -1) return Err(EINVAL);
  if (flags & ~kKnown) return Err(EOPNOTSUPP);
  Ref<File> file = TRY(ready_file(t, fd, File::kWrite));
  std::optional<uint64_t> at;
  if (offset != -1) at = TRY(position_of(*file, offset));
  if (flags & RWF_APPEND) at = TRY(file->inode().getattr()).size;
  UserMemory mem = t.mem();
  auto r = do_write(t, file, TRY(get_iovecs(mem, iov)), at, flags & RWF_NOWAIT);
  if (r && (flags & (RWF_DSYNC | RWF_SYNC))) TRY(file->fsync(flags & RWF_DSYNC));
  return after_write(t, fd, std::move(r));
}

SyscallResult preadv(Task& t, Fd fd, UserIov iov, uint64_t low, uint64_t high) {
  if (int64_t(low) < 0) return Err(EINVAL);
  return preadv2(t, fd, iov, low, high, 0);
}

SyscallResult pwritev(Task& t, Fd fd, UserIov iov, uint64_t low, uint64_t high) {
  if (int64_t(low) < 0) return Err(EINVAL);
  return pwritev2(t, fd, iov, low, high, 0);
}

namespace {

// Sockets of every family answer for the network's devices.
Result<int64_t> ask_device(Task& t, Caller& caller, File& file, uint32_t cmd, uint64_t arg) {
  if (!is_device_request(cmd) || !dynamic_cast<Socket*>(&file)) return Err(ENOTTY);
  Ref<InetNetwork> network = network_of(*t.ns.net);
  if (!network) return Err(ENOTTY);
  return device_ioctl(caller, *network, cmd, arg);
}

}  // namespace

SyscallResult ioctl(Task& t, Fd fd, uint32_t cmd, uint64_t arg) {
  Ref<File> file = TRY(t.file(fd.n));
  if (installed_guard) TRY(installed_guard->request(*file, cmd));
  switch (cmd) {
    case 0x5451 /* FIOCLEX */: TRY(t.fds->set_cloexec(fd.n, true)); return 0;
    case 0x5450 /* FIONCLEX */: TRY(t.fds->set_cloexec(fd.n, false)); return 0;
    case 0x541b /* FIONREAD */: {
      if (!file->inode().is_regular()) break;
      const uint64_t size = TRY(file->inode().getattr()).size;
      Lock lock(file->pos_mutex());
      const uint64_t pos = file->pos_locked();
      TRY(t.mem().put(UserPtr<int32_t>{arg}, size > pos ? int32_t(size - pos) : 0));
      return 0;
    }
    case 0x5421 /* FIONBIO */: {
      const int on = TRY(t.mem().get(UserPtr<const int32_t>{arg}));
      TRY(file->set_flags(on ? file->flags() | O_NONBLOCK : file->flags() & ~O_NONBLOCK));
      return 0;
    }
    case 0x5452 /* FIOASYNC */: {
      const int on = TRY(t.mem().get(UserPtr<const int32_t>{arg}));
      TRY(set_status_flags(t, fd, *file, on ? file->flags() | O_ASYNC : file->flags() & ~O_ASYNC));
      return 0;
    }
    default: break;
  }
  TaskCaller caller(t);
  if (TRY(file->before_ioctl(caller, cmd)) == File::IoVerdict::kSignalled) return Signalled{};
  auto r = file->ioctl(caller, cmd, arg);
  if (failed_with(r, ENOTTY)) r = ask_device(t, caller, *file, cmd, arg);
  if (r) return *r;
  if (failed_with(r, EAGAIN) && ref_cast<seccomp::NotifyFile>(file)) {
    auto again = [&] { return file->ioctl(caller, cmd, arg); };
    return block_on(t, *file, POLLIN, again, /*nonblocking=*/false);
  }
  if (failed_with(r, EAGAIN) && !file->nonblocking()) {
    t.waits().add(file->queue(), POLLOUT, file);
    return Block{};
  }
  const bool asks_for_terminal = (cmd >> 8 & 0xff) == 0x54;  // isatty(3) and its kin.
  if (failed_with(r, ENOTTY) && !asks_for_terminal) {
    note_unsupported(fmt::format("ioctl {:#x}", cmd));
  }
  return std::unexpected(r.error());
}

}  // namespace usk::sys
