// open(2), openat(2), openat2(2), creat(2).
#include <linux/openat2.h>

#include "fs/vfs/saving.h"
#include "kernel/task/caller.h"
#include "syscalls/lease_wait.h"
#include "syscalls/path_args.h"
#include "syscalls/text_file.h"
#include "syscalls/versioned.h"

namespace usk::sys {
namespace {

constexpr int kLargeFile = 0100000;  // O_LARGEFILE, which libc hides on 64 bits.
constexpr int kTmpfileBit = O_TMPFILE & ~O_DIRECTORY;
constexpr int kKnownFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND |
                            O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC | O_DIRECT | kLargeFile |
                            O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE;

// A file between open() and finish_open(): a FIFO that waits for its other end.
struct HalfOpen {
  Ref<File> file;
  USK_FIELDS(file)
};
USK_SAVED(HalfOpen, "syscalls/half-open")

SyscallResult open_file(Task& t, DirFd dir, UserPath path, vfs::OpenHow how) {
  const bool cloexec = how.flags & O_CLOEXEC;
  how.flags &= ~O_CLOEXEC;
  Ref<File> half;
  if (t.frame.extra) half = t.extra<HalfOpen>().file;
  if (!half) {
    PathArg p = TRY(get_path(t, dir, path));
    // There, even an absolute path starts at the directory.
    if (how.resolve & kInRoot) p.at = TRY(t.at(dir.n));
    if (installed_guard && p.text == kPolicyDevice) {
      if ((how.flags & O_ACCMODE) != O_RDONLY) return Err(EACCES);
      return TRY(t.add_fd(TRY(text_file(t, TRY(installed_guard->state()))), cloexec));
    }
    how.break_leases = waited_for_lease(t);
    auto opened = vfs::open(p.ctx, p.at, p.text, how);
    const bool may_wait = !(how.flags & O_NONBLOCK) && !(how.resolve & kCachedOnly);
    if (failed_with(opened, EAGAIN) && may_wait && Leases::any() && !how.break_leases) {
      t.waits().add(Leases::queue(), POLLIN);
      opened = vfs::open(p.ctx, p.at, p.text, how);
      if (failed_with(opened, EAGAIN)) return Block{.until = t.deadline(kLeaseBreakTime)};
    }
    half = TRY(std::move(opened));
  }
  TaskCaller caller(t);
  Result<Ref<File>> file = half->finish_open(caller, how.flags);
  if (failed_with(file, EAGAIN) && !(how.flags & O_NONBLOCK)) {
    t.extra<HalfOpen>().file = half;
    t.waits().add(half->queue(), POLLIN | POLLOUT, half);
    file = half->finish_open(caller, how.flags);
    if (failed_with(file, EAGAIN)) return Block{};
    t.frame.extra.reset();
  }
  half.reset();
  return TRY(t.add_fd(TRY(std::move(file)), cloexec));
}

// As open(2) takes flags: unknown ones mean nothing, a mode only counts when a file is made.
vfs::OpenHow lenient(uint32_t flags, uint32_t mode) {
  vfs::OpenHow how{.flags = int(flags & kKnownFlags) | kLargeFile, .mode = mode & 07777};
  if (how.flags & O_PATH) how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  return how;
}

}  // namespace

SyscallResult open(Task& t, UserPath path, OpenFlags flags, ModeBits mode) {
  return open_file(t, DirFd{AT_FDCWD}, path, lenient(flags.bits, mode.bits));
}

SyscallResult openat(Task& t, DirFd dir, UserPath path, OpenFlags flags, ModeBits mode) {
  return open_file(t, dir, path, lenient(flags.bits, mode.bits));
}

SyscallResult creat(Task& t, UserPath path, ModeBits mode) {
  return open_file(t, DirFd{AT_FDCWD}, path, lenient(O_CREAT | O_WRONLY | O_TRUNC, mode.bits));
}

namespace {

Result<uint32_t> resolve_flags(uint64_t resolve) {
  static constexpr struct {
    uint64_t resolve;
    uint32_t walk;
  } kBits[] = {{RESOLVE_NO_XDEV, kNoXdev},         {RESOLVE_NO_MAGICLINKS, kNoMagicLinks},
               {RESOLVE_NO_SYMLINKS, kNoSymlinks}, {RESOLVE_BENEATH, kBeneath},
               {RESOLVE_IN_ROOT, kInRoot},         {RESOLVE_CACHED, kCachedOnly}};
  uint32_t out = 0;
  for (const auto& b : kBits) {
    if (resolve & b.resolve) out |= b.walk;
    resolve &= ~b.resolve;
  }
  if (resolve || ((out & kBeneath) && (out & kInRoot))) return Err(EINVAL);
  return out;
}

Result<vfs::OpenHow> strict(const open_how& asked) {
  if (asked.flags & ~uint64_t(uint32_t(kKnownFlags))) return Err(EINVAL);
  vfs::OpenHow how{.flags = int(asked.flags), .mode = uint32_t(asked.mode)};
  how.resolve = TRY(resolve_flags(asked.resolve));
  if (how.flags & (O_CREAT | kTmpfileBit)) {
    if (asked.mode & ~uint64_t(07777)) return Err(EINVAL);
  } else if (asked.mode) {
    return Err(EINVAL);
  }
  if ((how.flags & O_PATH) && (how.flags & ~(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))) {
    return Err(EINVAL);
  }
  if ((how.resolve & kCachedOnly) && (how.flags & (O_TRUNC | O_CREAT | kTmpfileBit))) {
    return Err(EAGAIN);
  }
  if (!(how.flags & O_PATH)) how.flags |= kLargeFile;
  return how;
}

}  // namespace

SyscallResult openat2(Task& t, DirFd dir, UserPath path, uint64_t how, uint64_t size) {
  return open_file(t, dir, path,
                   TRY(strict(TRY(get_versioned<open_how>(t, how, size, sizeof(open_how))))));
}

}  // namespace usk::sys
