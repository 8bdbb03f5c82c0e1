#include "host/open.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "host/call.h"
#include "host/environment.h"
#include "host/file_io.h"

namespace usk::host {

namespace {

// The root that paths were meant in before it was left; else they are looked up as they are.
UniqueFd& start() {
  static UniqueFd fd;
  return fd;
}

}  // namespace

Result<void> keep_start() {
  (void)current_directory();
  start() = TRY(open_at(AT_FDCWD, "/", O_PATH | O_DIRECTORY));
  return {};
}

void forget_start() { start().reset(); }

Result<UniqueFd> open_at(int dir, const std::string& path, int flags, uint32_t mode,
                         uint64_t resolve) {
  if (dir == AT_FDCWD && start()) {
    const std::string place = path.starts_with('/') ? path : current_directory() + "/" + path;
    return open_at(start().get(), place, flags, mode, resolve | RESOLVE_IN_ROOT);
  }
  struct open_how how{};
  how.flags = uint64_t(uint32_t(flags | O_CLOEXEC));
  how.mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode : 0;
  how.resolve = resolve;
  // These answer EAGAIN when the host renamed something meanwhile.
  const int most = resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT) ? 100 : 1;
  for (int tries = 0; tries < most;) {
    const long fd = guarded(SYS_openat2, dir, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(int(fd));
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Err(errno);
    tries++;
  }
  return Err(EAGAIN);
}

namespace {

struct Proc {
  UniqueFd dir, cpu_info;
};

Proc& proc() {
  static Proc proc = [] {
    Proc p;
    if (auto fd = open_at(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY)) p.dir = std::move(*fd);
    if (auto fd = open_at(p.dir.get(), "cpuinfo", O_RDONLY)) p.cpu_info = std::move(*fd);
    return p;
  }();
  return proc;
}

// Wherever its offset is: processes that were forked share that.
std::string read_all(int fd, size_t most) {
  std::string text;
  std::array<std::byte, 4096> part;
  while (text.size() < most) {
    auto n = pread(fd, part, text.size());
    if (!n || *n == 0) break;
    text.append(reinterpret_cast<const char*>(part.data()), *n);
  }
  return text;
}

}  // namespace

int proc_dir() { return proc().dir.get(); }

std::string read_cpu_info() { return read_all(proc().cpu_info.get(), 4 << 20); }

Result<void> use_private_proc() {
  const UniqueFd context(int(syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC)));
  if (!context) return Err(errno);
  if (syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "subset", "pid", 0) != 0 ||
      syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return Err(errno);
  }
  constexpr unsigned kAttributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  UniqueFd dir(int(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, kAttributes)));
  if (!dir) return Err(errno);
  proc().dir = std::move(dir);
  return {};
}

Result<UniqueFd> open_proc(const std::string& path, int flags) {
  return open_at(proc_dir(), path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

std::string read_proc(const std::string& path, size_t most) {
  auto fd = open_proc(path, O_RDONLY);
  return fd ? read_all(fd->get(), most) : std::string();
}

std::vector<std::string> names_in(int dir) {
  std::vector<std::string> names;
  alignas(dirent64) std::array<char, 8192> buffer;
  long n;
  while ((n = guarded(SYS_getdents64, dir, buffer.data(), buffer.size())) > 0) {
    for (long at = 0; at < n;) {
      const auto* e = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += e->d_reclen;
      if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
        names.emplace_back(e->d_name);
    }
  }
  return names;
}

std::vector<std::string> list_proc(const std::string& path) {
  auto fd = open_proc(path, O_RDONLY | O_DIRECTORY);
  return fd ? names_in(fd->get()) : std::vector<std::string>();
}

std::string descriptor_name(int fd) { return "self/fd/" + std::to_string(fd); }

Result<std::string> path_of(int fd) {
  std::string path(PATH_MAX, 0);
  const std::string link = descriptor_name(fd);
  const long n = guarded(SYS_readlinkat, proc_dir(), link.c_str(), path.data(), path.size());
  if (n < 0) return Err(errno);
  path.resize(size_t(n));
  return path;
}

// Such a link leads wherever the descriptor does; no rule but the cookies applies to it.
Result<UniqueFd> reopen(int fd, int flags) {
  return open_at(proc_dir(), descriptor_name(fd), flags | O_NOCTTY);
}

}  // namespace usk::host
