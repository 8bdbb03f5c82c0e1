#include "host/empty_root.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "host/open.h"

namespace usk::host {
namespace {

Result<void> done(long result) {
  if (result < 0) return Err(errno);
  return {};
}

Result<UniqueFd> empty_file_system() {
  const UniqueFd context(int(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context) return Err(errno);
  TRY(done(syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "size", "4096", 0)));
  TRY(done(syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0)));
  constexpr unsigned kAttributes =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  UniqueFd dir(int(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, kAttributes)));
  if (!dir) return Err(errno);
  return dir;
}

// A mount namespace with one mount. Its copies of the host's mounts go; that does not reach the
// host's own. In a user namespace of its own a process may make a file system only once it has one.
Result<void> pivot_to_empty() {
  TRY(done(unshare(CLONE_NEWNS)));
  TRY(done(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr)));
  const UniqueFd dir = TRY(empty_file_system());
  TRY(done(syscall(SYS_move_mount, dir.get(), "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH)));
  TRY(done(fchdir(dir.get())));
  TRY(done(syscall(SYS_pivot_root, ".", ".")));
  TRY(done(umount2(".", MNT_DETACH)));
  return done(chdir("/"));
}

// In this order: whose working directory is outside of his root can leave it.
Result<void> change_root_to_empty() {
  const UniqueFd dir = TRY(empty_file_system());
  TRY(done(fchdir(dir.get())));
  return done(chroot("."));
}

}  // namespace

Result<void> empty_root() {
  TRY(keep_start());
  auto left = pivot_to_empty();
  if (!left) left = change_root_to_empty();
  if (!left) forget_start();
  return left;
}

}  // namespace usk::host
