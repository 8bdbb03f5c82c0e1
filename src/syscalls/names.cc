// mkdir(2), mknod(2), rmdir(2), unlink(2), rename(2), link(2), symlink(2) and their *at forms.
#include <linux/capability.h>

#include "syscalls/at.h"

namespace usk::sys {

SyscallResult mkdirat(Task& t, DirFd dir, UserPath path, ModeBits mode) {
  const std::string name = TRY(t.mem().get_path(path));
  TRY(vfs::mkdir(t.walk_context(), TRY(start_of(t, dir, name)), name, mode.bits));
  return 0;
}

SyscallResult mkdir(Task& t, UserPath path, ModeBits mode) {
  return mkdirat(t, {AT_FDCWD}, path, mode);
}

SyscallResult mknodat(Task& t, DirFd dir, UserPath path, ModeBits mode, uint32_t dev) {
  const std::string name = TRY(t.mem().get_path(path));
  TRY(vfs::mknod(t.walk_context(), TRY(start_of(t, dir, name)), name, mode.bits, dev));
  return 0;
}

SyscallResult mknod(Task& t, UserPath path, ModeBits mode, uint32_t dev) {
  return mknodat(t, {AT_FDCWD}, path, mode, dev);
}

SyscallResult unlinkat(Task& t, DirFd dir, UserPath path, AtFlags flags) {
  TRY(flags.only(AT_REMOVEDIR));
  const std::string name = TRY(t.mem().get_path(path));
  const Path at = TRY(start_of(t, dir, name));
  if (flags.has(AT_REMOVEDIR)) {
    TRY(vfs::rmdir(t.walk_context(), at, name));
  } else {
    TRY(vfs::unlink(t.walk_context(), at, name));
  }
  return 0;
}

SyscallResult unlink(Task& t, UserPath path) { return unlinkat(t, {AT_FDCWD}, path, {0}); }
SyscallResult rmdir(Task& t, UserPath path) {
  return unlinkat(t, {AT_FDCWD}, path, {AT_REMOVEDIR});
}

SyscallResult renameat2(Task& t, DirFd old_dir, UserPath old_path, DirFd new_dir,
                        UserPath new_path, uint32_t flags) {
  const std::string from = TRY(t.mem().get_path(old_path)), to = TRY(t.mem().get_path(new_path));
  const Path from_at = TRY(start_of(t, old_dir, from)), to_at = TRY(start_of(t, new_dir, to));
  TRY(vfs::rename(t.walk_context(), from_at, from, to_at, to, flags));
  return 0;
}

SyscallResult renameat(Task& t, DirFd old_dir, UserPath old_path, DirFd new_dir,
                       UserPath new_path) {
  return renameat2(t, old_dir, old_path, new_dir, new_path, 0);
}

SyscallResult rename(Task& t, UserPath old_path, UserPath new_path) {
  return renameat2(t, {AT_FDCWD}, old_path, {AT_FDCWD}, new_path, 0);
}

SyscallResult linkat(Task& t, DirFd old_dir, UserPath old_path, DirFd new_dir, UserPath new_path,
                     AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH));
  const Path from = TRY(find_at(t, old_dir, old_path, flags.bits, false));
  if (flags.has(AT_EMPTY_PATH) && !t.capable(CAP_DAC_READ_SEARCH)) {
    // Without the capability only the descriptor's opener may name it again (Linux: ENOENT).
    if (TRY(t.mem().get_path(old_path)).empty()) return Err(ENOENT);
  }
  const std::string to = TRY(t.mem().get_path(new_path));
  TRY(vfs::link(t.walk_context(), from, TRY(start_of(t, new_dir, to)), to));
  return 0;
}

SyscallResult link(Task& t, UserPath old_path, UserPath new_path) {
  return linkat(t, {AT_FDCWD}, old_path, {AT_FDCWD}, new_path, {0});
}

SyscallResult symlinkat(Task& t, UserPath target, DirFd dir, UserPath path) {
  const std::string text = TRY(t.mem().get_path(target)), name = TRY(t.mem().get_path(path));
  if (text.empty()) return Err(ENOENT);
  TRY(vfs::symlink(t.walk_context(), text, TRY(start_of(t, dir, name)), name));
  return 0;
}

SyscallResult symlink(Task& t, UserPath target, UserPath path) {
  return symlinkat(t, target, {AT_FDCWD}, path);
}

}  // namespace usk::sys
