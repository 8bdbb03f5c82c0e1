// rename(2), link(2), unlink(2), symlink(2), readlink(2).
#include <linux/capability.h>

#include "syscalls/path_args.h"

namespace usk::sys {

SyscallResult renameat2(Task& t, DirFd from_dir, UserPath from, DirFd to_dir, UserPath to,
                        uint32_t flags) {
  const PathArg a = TRY(get_path(t, from_dir, from));
  const PathArg b = TRY(get_path(t, to_dir, to));
  TRY(vfs::rename(a.ctx, a.at, a.text, b.at, b.text, flags));
  return 0;
}
SyscallResult renameat(Task& t, DirFd from_dir, UserPath from, DirFd to_dir, UserPath to) {
  return renameat2(t, from_dir, from, to_dir, to, 0);
}
SyscallResult rename(Task& t, UserPath from, UserPath to) {
  return renameat2(t, DirFd{AT_FDCWD}, from, DirFd{AT_FDCWD}, to, 0);
}

SyscallResult linkat(Task& t, DirFd from_dir, UserPath from, DirFd to_dir, UserPath to,
                     AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH));
  // Without the capability a descriptor names a file only for who opened it with these very
  // credentials.
  if (flags.has(AT_EMPTY_PATH) && !t.capable(CAP_DAC_READ_SEARCH)) {
    auto file =
        from_dir.n == AT_FDCWD ? Result<Ref<File>>(Err(ENOENT)) : t.file_or_path(from_dir.n);
    if (!file || &(*file)->creds() != t.creds.get()) return Err(ENOENT);
  }
  const uint32_t how = (flags.has(AT_SYMLINK_FOLLOW) ? 0u : uint32_t(AT_SYMLINK_NOFOLLOW)) |
                       (flags.bits & AT_EMPTY_PATH);
  const Place source = TRY(get_place(t, from_dir, from, how));
  const PathArg b = TRY(get_path(t, to_dir, to));
  TRY(vfs::link(b.ctx, source.path, b.at, b.text));
  return 0;
}
SyscallResult link(Task& t, UserPath from, UserPath to) {
  return linkat(t, DirFd{AT_FDCWD}, from, DirFd{AT_FDCWD}, to, AtFlags{0});
}

SyscallResult unlinkat(Task& t, DirFd dir, UserPath path, AtFlags flags) {
  TRY(flags.only(AT_REMOVEDIR));
  const PathArg p = TRY(get_path(t, dir, path));
  TRY(flags.has(AT_REMOVEDIR) ? vfs::rmdir(p.ctx, p.at, p.text) : vfs::unlink(p.ctx, p.at, p.text));
  return 0;
}
SyscallResult unlink(Task& t, UserPath path) {
  return unlinkat(t, DirFd{AT_FDCWD}, path, AtFlags{0});
}

SyscallResult symlinkat(Task& t, UserPath target, DirFd dir, UserPath path) {
  const std::string text = TRY(t.mem().get_path(target));
  const PathArg p = TRY(get_path(t, dir, path));
  TRY(vfs::symlink(p.ctx, text, p.at, p.text));
  return 0;
}
SyscallResult symlink(Task& t, UserPath target, UserPath path) {
  return symlinkat(t, target, DirFd{AT_FDCWD}, path);
}

SyscallResult readlinkat(Task& t, DirFd dir, UserPath path, uint64_t buf, int32_t size) {
  if (size <= 0) return Err(EINVAL);
  // An empty path means the descriptor itself: a link opened with O_PATH | O_NOFOLLOW.
  const Place p = TRY(get_place(t, dir, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  auto target = vfs::readlink(p.ctx, p.path);
  if (failed_with(target, EINVAL) && TRY(t.mem().get_path(path)).empty()) return Err(ENOENT);
  const std::string text = TRY(std::move(target));
  const size_t n = std::min(text.size(), size_t(size));
  TRY(t.mem().copy_out(buf, std::as_bytes(std::span(text)).first(n)));
  return int64_t(n);
}
SyscallResult readlink(Task& t, UserPath path, uint64_t buf, int32_t size) {
  return readlinkat(t, DirFd{AT_FDCWD}, path, buf, size);
}

}  // namespace usk::sys
