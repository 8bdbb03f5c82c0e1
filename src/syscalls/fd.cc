// close(2), close_range(2), dup(2), lseek(2).
#include <linux/close_range.h>

#include "kernel/task/close.h"
#include "syscalls/syscalls.h"

namespace usk::sys {

SyscallResult close(Task& t, Fd fd) {
  Ref<File> file = TRY(t.fds->remove(fd.n));
  TRY(close_file(t, std::move(file)));
  return 0;
}

SyscallResult close_range(Task& t, uint32_t first, uint32_t last, uint32_t flags) {
  if (flags & ~uint32_t(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) return Err(EINVAL);
  if (first > last) return Err(EINVAL);
  if ((flags & CLOSE_RANGE_UNSHARE) && t.fds->ref_count() > 1) {
    Ref<FdTable> own = t.fds->clone();
    Lock lock(task_mutex);
    std::swap(t.fds, own);
  }
  if (first > INT32_MAX) return 0;
  for (int fd : t.fds->open_fds(int(first), int(std::min<uint32_t>(last, INT32_MAX)))) {
    if (flags & CLOSE_RANGE_CLOEXEC) {
      (void)t.fds->set_cloexec(fd, true);  // Fails where another thread was quicker to close it.
    } else if (auto file = t.fds->remove(fd)) {
      (void)close_file(t, *std::move(file));  // Linux, too, has nowhere to report it.
    }
  }
  return 0;
}

SyscallResult dup(Task& t, Fd fd) { return TRY(t.add_fd(TRY(t.fds->get(fd.n)), false)); }

namespace {

SyscallResult dup_to(Task& t, Fd from, Fd to, bool cloexec) {
  Ref<File> file = TRY(t.fds->get(from.n));
  Ref<File> displaced = TRY(t.fds->replace(to.n, std::move(file), cloexec, t.limit(RLIMIT_NOFILE)));
  if (displaced) (void)close_file(t, std::move(displaced));  // As dup2(2): silently.
  return to.n;
}

}  // namespace

SyscallResult dup2(Task& t, Fd from, Fd to) {
  if (from.n == to.n) {
    TRY(t.fds->get(from.n));
    return to.n;
  }
  return dup_to(t, from, to, false);
}

SyscallResult dup3(Task& t, Fd from, Fd to, OpenFlags flags) {
  TRY(flags.only(O_CLOEXEC));
  if (from.n == to.n) return Err(EINVAL);
  return dup_to(t, from, to, flags.has(O_CLOEXEC));
}

SyscallResult lseek(Task& t, Fd fd, int64_t offset, int32_t whence) {
  Ref<File> file = TRY(t.file(fd.n));
  return int64_t(TRY(file->seek(offset, whence)));
}

}  // namespace usk::sys
