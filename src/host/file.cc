#include "host/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host/call.h"
#include "host/open.h"

namespace usk::host {
namespace {

// The value of a host call that says -1 and errno.
template <class T>
Result<T> checked(T v) {
  if (v == T(-1)) return Err(errno);
  return v;
}
Result<void> done(int r) {
  if (r == -1) return Err(errno);
  return {};
}
// Signals of the host are the kernel's own business: a call they cut short is made again.
template <class F>
auto retry(F call) {
  auto r = call();
  while (r == -1 && errno == EINTR) r = call();
  return r;
}

}  // namespace

Result<Ref<HostFd>> open_beneath(const HostFd& dir, const std::string& path, int flags,
                                 uint32_t mode) {
  constexpr uint64_t kResolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  return make_ref<HostFd>(TRY(open_at(dir.get(), path, flags, mode, kResolve)));
}

Result<Ref<HostFd>> open_dir(const std::string& path) {
  return make_ref<HostFd>(TRY(open_at(AT_FDCWD, path, O_PATH | O_DIRECTORY)));
}

Result<Ref<HostFd>> open_place(const std::string& path) {
  return make_ref<HostFd>(TRY(open_at(AT_FDCWD, path, O_PATH)));
}

Result<struct statx> stat_at(const HostFd& dir, const std::string& name) {
  struct statx st{};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
  TRY(done(
      guarded(SYS_statx, dir.get(), name.c_str(), flags, STATX_BASIC_STATS | STATX_BTIME, &st)));
  return st;
}

Result<struct statfs> statfs_of(const HostFd& fd) {
  struct statfs st{};
  TRY(done(guarded(SYS_fstatfs, fd.get(), &st)));
  return st;
}

Result<size_t> pread(const HostFd& fd, std::span<std::byte> dst, uint64_t offset) {
  auto r =
      retry([&] { return guarded(SYS_pread64, fd.get(), dst.data(), dst.size(), off_t(offset)); });
  return size_t(TRY(checked(r)));
}

Result<size_t> pwrite(const HostFd& fd, std::span<const std::byte> src, uint64_t offset) {
  auto r =
      retry([&] { return guarded(SYS_pwrite64, fd.get(), src.data(), src.size(), off_t(offset)); });
  return size_t(TRY(checked(r)));
}

Result<size_t> pwrite_append(const HostFd& fd, std::span<const std::byte> src) {
  iovec v{const_cast<std::byte*>(src.data()), src.size()};
  auto r = retry([&] { return guarded_vector(SYS_pwritev2, fd.get(), v, 0, RWF_APPEND); });
  return size_t(TRY(checked(r)));
}

Result<uint64_t> lseek(const HostFd& fd, int64_t offset, int whence) {
  return uint64_t(TRY(checked(guarded(SYS_lseek, fd.get(), offset, whence))));
}

Result<void> ftruncate(const HostFd& fd, uint64_t size) {
  return done(retry([&] { return guarded(SYS_ftruncate, fd.get(), off_t(size)); }));
}

Result<void> fallocate(const HostFd& fd, int mode, uint64_t offset, uint64_t length) {
  return done(
      retry([&] { return guarded(SYS_fallocate, fd.get(), mode, off_t(offset), off_t(length)); }));
}

Result<void> fsync(const HostFd& fd, bool data_only) {
  return done(retry(
      [&] { return data_only ? guarded(SYS_fdatasync, fd.get()) : guarded(SYS_fsync, fd.get()); }));
}

Result<uint64_t> copy_range(const HostFd& from, uint64_t from_offset, const HostFd& to,
                            uint64_t to_offset, uint64_t length) {
  uint64_t copied = 0;
  std::vector<std::byte> buffer;
  while (copied < length) {
    off_t in = off_t(from_offset + copied), out = off_t(to_offset + copied);
    const auto r = retry([&] {
      return guarded(SYS_copy_file_range, guarded_int(0, from.get()), &in, to.get(), &out,
                     length - copied, 0);
    });
    if (r > 0) {
      copied += uint64_t(r);
      continue;
    }
    // Between file systems it may be refused, or claim an end that is none: copy by hand.
    if (buffer.empty()) buffer.resize(256 << 10);
    const size_t want = std::min<uint64_t>(buffer.size(), length - copied);
    const size_t n = TRY(pread(from, std::span(buffer).first(want), from_offset + copied));
    if (n == 0) break;
    for (size_t at = 0; at < n;) {
      at += TRY(pwrite(to, std::span(buffer).subspan(at, n - at), to_offset + copied + at));
    }
    copied += n;
  }
  return copied;
}

Result<std::string> readlink_at(const HostFd& dir, const std::string& name) {
  std::string target(4096, '\0');
  const auto n =
      TRY(checked(guarded(SYS_readlinkat, dir.get(), name.c_str(), target.data(), target.size())));
  target.resize(size_t(n));
  return target;
}

size_t max_open_files() {
  rlimit limit{};
  if (guarded(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) < 0) return 1024;
  return limit.rlim_cur;
}

void raise_max_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);  // Without it, fewer are kept open.
}

Result<std::vector<HostDirEntry>> read_dir(const HostFd& dir) {
  std::vector<HostDirEntry> entries;
  std::vector<std::byte> buffer(32 << 10);
  TRY(checked(guarded(SYS_lseek, dir.get(), 0, SEEK_SET)));
  while (true) {
    const long n = TRY(checked(guarded(SYS_getdents64, dir.get(), buffer.data(), buffer.size())));
    if (n == 0) return entries;
    for (long at = 0; at < n;) {
      auto* e = reinterpret_cast<dirent64*>(buffer.data() + at);
      at += e->d_reclen;
      std::string_view name = e->d_name;
      if (name != "." && name != "..") entries.push_back({std::string(name), e->d_ino, e->d_type});
    }
  }
}

Result<void> mkdir_at(const HostFd& dir, const std::string& name, uint32_t mode) {
  return done(guarded(SYS_mkdirat, dir.get(), name.c_str(), mode));
}

Result<void> mknod_at(const HostFd& dir, const std::string& name, uint32_t mode, uint64_t rdev) {
  return done(guarded(SYS_mknodat, dir.get(), name.c_str(), mode, rdev));
}

Result<void> symlink_at(const std::string& target, const HostFd& dir, const std::string& name) {
  return done(guarded(SYS_symlinkat, target.c_str(), dir.get(), name.c_str()));
}

Result<void> link_at(const HostFd& from_dir, const std::string& from, const HostFd& dir,
                     const std::string& name) {
  return done(guarded(SYS_linkat, from_dir.get(), from.c_str(), dir.get(), name.c_str(), 0));
}

Result<void> link_fd(const HostFd& fd, const HostFd& dir, const std::string& name) {
  return done(guarded(SYS_linkat, proc_dir(), descriptor_name(fd.get()).c_str(), dir.get(),
                      name.c_str(), AT_SYMLINK_FOLLOW));
}

Result<void> unlink_at(const HostFd& dir, const std::string& name, int flags) {
  return done(guarded(SYS_unlinkat, dir.get(), name.c_str(), flags));
}

Result<void> rename_at(const HostFd& from_dir, const std::string& from, const HostFd& to_dir,
                       const std::string& to, uint32_t flags) {
  return done(
      guarded(SYS_renameat2, from_dir.get(), from.c_str(), to_dir.get(), to.c_str(), flags));
}

Result<void> chmod_fd(const HostFd& fd, uint32_t mode) {
  return done(guarded(SYS_fchmod, fd.get(), mode));
}

Result<void> chown_fd(const HostFd& fd, uint32_t uid, uint32_t gid) {
  return done(guarded(SYS_fchown, fd.get(), uid, gid));
}

Result<void> utimens_fd(const HostFd& fd, const timespec (&times)[2]) {
  return done(guarded(SYS_utimensat, fd.get(), nullptr, &times[0], 0));
}

Result<void> chmod_at(const HostFd& dir, const std::string& name, uint32_t mode) {
  // By a descriptor of the file itself, so that a link put there meanwhile is not followed.
  Ref<HostFd> fd = TRY(open_beneath(dir, name, O_PATH | O_NOFOLLOW));
  return done(guarded(SYS_fchmodat, proc_dir(), descriptor_name(fd->get()).c_str(), mode));
}

Result<void> chown_at(const HostFd& dir, const std::string& name, uint32_t uid, uint32_t gid) {
  return done(guarded(SYS_fchownat, dir.get(), name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW));
}

Result<void> utimens_at(const HostFd& dir, const std::string& name, const timespec (&times)[2]) {
  return done(guarded(SYS_utimensat, dir.get(), name.c_str(), &times[0], AT_SYMLINK_NOFOLLOW));
}

Result<std::string> getxattr(const HostFd& fd, const std::string& name) {
  std::string value(65536, '\0');
  const auto n =
      TRY(checked(guarded(SYS_fgetxattr, fd.get(), name.c_str(), value.data(), value.size())));
  value.resize(size_t(n));
  return value;
}

Result<void> setxattr(const HostFd& fd, const std::string& name, std::string_view value,
                      int flags) {
  return done(guarded(SYS_fsetxattr, fd.get(), name.c_str(), value.data(), value.size(), flags));
}

Result<std::vector<std::string>> listxattr(const HostFd& fd) {
  std::string list(65536, '\0');
  const auto n = TRY(checked(guarded(SYS_flistxattr, fd.get(), list.data(), list.size())));
  std::vector<std::string> names;
  for (size_t at = 0; at < size_t(n); at += names.back().size() + 1) {
    names.emplace_back(list.c_str() + at);
  }
  return names;
}

Result<void> removexattr(const HostFd& fd, const std::string& name) {
  return done(guarded(SYS_fremovexattr, fd.get(), name.c_str()));
}

Result<void> lock_exclusive(const HostFd& fd) {
  return done(retry([&] { return guarded(SYS_flock, fd.get(), LOCK_EX); }));
}

Result<void> try_lock_exclusive(const HostFd& fd) {
  return done(guarded(SYS_flock, fd.get(), LOCK_EX | LOCK_NB));
}

timespec now_realtime() {
  timespec t{};
  ::clock_gettime(CLOCK_REALTIME, &t);
  return t;
}

namespace {
uint32_t& known_uid() {
  static uint32_t uid = ::geteuid();
  return uid;
}
}  // namespace

uint32_t effective_uid() { return known_uid(); }
void effective_uid_changed() { known_uid() = ::geteuid(); }
uint32_t effective_gid() { return getegid(); }
uint32_t real_uid() { return getuid(); }
uint32_t real_gid() { return getgid(); }

}  // namespace usk::host
