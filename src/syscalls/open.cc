// open(2), openat(2), openat2(2), creat(2).
#include <linux/openat2.h>

#include "kernel/task/caller.h"
#include "syscalls/at.h"

namespace usk::sys {
namespace {

constexpr int kKnownFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND |
                            O_NONBLOCK | O_DSYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY |
                            O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | O_PATH | O_TMPFILE |
                            0100000;

// Opens once; a file whose opening waits (a FIFO without its other end) is asked again.
SyscallResult open_and_install(Task& t, DirFd dir, UserPath path, const vfs::OpenHow& how) {
  Ref<File>& half_open = t.extra<Ref<File>>();
  if (!half_open) {
    const std::string name = TRY(t.mem().get_path(path));
    const Path at = TRY(start_of(t, dir, name));
    half_open = TRY(vfs::open(t.walk_context(), at, name, how));
  }
  TaskCaller caller(t);
  auto file = half_open->finish_open(caller, how.flags);
  if (!file) {
    if (!failed_with(file, EAGAIN) || (how.flags & O_NONBLOCK)) {
      return std::unexpected(file.error());
    }
    t.waits().add(half_open->queue(), POLLIN | POLLOUT, half_open);
    file = half_open->finish_open(caller, how.flags);
    if (!file && failed_with(file, EAGAIN)) return Block{};
    if (!file) return std::unexpected(file.error());
  }
  return TRY(t.add_fd(*file, how.flags & O_CLOEXEC));
}

}  // namespace

SyscallResult openat(Task& t, DirFd dir, UserPath path, OpenFlags flags, ModeBits mode) {
  vfs::OpenHow how{.flags = int(flags.bits) & kKnownFlags, .mode = mode.bits & 07777};
  if (how.flags & O_PATH) how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  return open_and_install(t, dir, path, how);
}

SyscallResult open(Task& t, UserPath path, OpenFlags flags, ModeBits mode) {
  return openat(t, {AT_FDCWD}, path, flags, mode);
}

SyscallResult creat(Task& t, UserPath path, ModeBits mode) {
  return openat(t, {AT_FDCWD}, path, {O_CREAT | O_WRONLY | O_TRUNC}, mode);
}

SyscallResult openat2(Task& t, DirFd dir, UserPath path, UserPtr<const open_how> p, uint64_t size) {
  if (size < sizeof(open_how)) return Err(EINVAL);
  if (size > platform::kPageSize) return Err(E2BIG);
  std::vector<std::byte> bytes(size);
  TRY(t.mem().copy_in(bytes, p.addr));
  open_how h;
  memcpy(&h, bytes.data(), sizeof h);
  for (size_t i = sizeof h; i < size; i++) {
    if (bytes[i] != std::byte(0)) return Err(E2BIG);
  }
  constexpr uint64_t kResolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
                                RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
  if ((h.flags & ~uint64_t(kKnownFlags)) || (h.resolve & ~kResolve)) return Err(EINVAL);
  if ((h.resolve & RESOLVE_BENEATH) && (h.resolve & RESOLVE_IN_ROOT)) return Err(EINVAL);
  const bool makes = h.flags & O_CREAT || (h.flags & O_TMPFILE) == O_TMPFILE;
  if (makes ? h.mode & ~07777ull : h.mode) return Err(EINVAL);
  if ((h.flags & O_PATH) && (h.flags & ~uint64_t(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))) {
    return Err(EINVAL);
  }
  if ((h.resolve & RESOLVE_CACHED) && (h.flags & (O_TRUNC | O_CREAT | __O_TMPFILE))) {
    return Err(EAGAIN);
  }
  vfs::OpenHow how{.flags = int(h.flags), .mode = uint32_t(h.mode)};
  static constexpr std::pair<uint64_t, uint32_t> kMap[] = {
      {RESOLVE_NO_XDEV, kNoXdev},         {RESOLVE_NO_MAGICLINKS, kNoMagicLinks},
      {RESOLVE_NO_SYMLINKS, kNoSymlinks}, {RESOLVE_BENEATH, kBeneath},
      {RESOLVE_IN_ROOT, kInRoot},         {RESOLVE_CACHED, kCachedOnly}};
  for (auto [theirs, ours] : kMap) {
    if (h.resolve & theirs) how.resolve |= ours;
  }
  return open_and_install(t, dir, path, how);
}

}  // namespace usk::sys
