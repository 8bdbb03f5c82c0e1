#include "host/empty_root.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <sstream>

#include "host/call.h"
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

// A child that shares all memory, so that making it costs little, and only stays. The caller's
// errno is not touched: pause(2) does not return.
int stay(void* parent) {
  syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (syscall(SYS_getppid) != *static_cast<pid_t*>(parent)) syscall(SYS_exit, 0);
  for (;;) syscall(SYS_pause);
}

// All ids that there are, each as itself: the map that this process has, with one side twice.
std::string identity_map(const char* name) {
  std::istringstream own(read_proc(fmt::format("self/{}", name), 1 << 16));
  std::string text;
  uint32_t inside, outside, count;
  while (own >> inside >> outside >> count) {
    text += fmt::format("{} {} {}\n", inside, inside, count);
  }
  return text;
}

Result<void> map_ids(pid_t child) {
  for (const char* name : {"uid_map", "gid_map"}) {
    const std::string map = identity_map(name);
    const UniqueFd file = TRY(open_proc(fmt::format("{}/{}", child, name), O_WRONLY));
    TRY(done(guarded(SYS_write, file.get(), map.data(), map.size())));
  }
  return {};
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

Result<void> enter_user_namespace() {
  alignas(16) static std::array<std::byte, 16384> stack;
  pid_t self = getpid();
  int pidfd = -1;
  const int child = clone(stay, stack.data() + stack.size(),
                          CLONE_VM | CLONE_NEWUSER | CLONE_PIDFD | SIGCHLD, &self, &pidfd);
  if (child < 0) return Err(errno);
  const UniqueFd held(pidfd);
  auto entered = map_ids(child);
  if (entered) entered = done(setns(held.get(), CLONE_NEWUSER));
  kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return entered;
}

Result<void> enter_namespaces() {
  return done(unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP));
}

Result<void> empty_root() {
  TRY(keep_start());
  auto left = pivot_to_empty();
  if (!left) left = change_root_to_empty();
  if (!left) forget_start();
  return left;
}

}  // namespace usk::host
