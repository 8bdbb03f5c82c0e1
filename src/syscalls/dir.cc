// getdents64(2), getcwd(2), chdir(2), chroot(2), mkdir(2), rmdir(2), mknod(2).
#include <linux/capability.h>

#include "fs/vfs/dir.h"
#include "fs/vfs/notify.h"
#include "syscalls/path_args.h"

namespace usk::sys {
namespace {

// Entries as getdents(2) (old) or getdents64(2) lays them out.
class DirentSink final : public DirSink {
 public:
  DirentSink(size_t limit, bool old, const Path& dir) : limit_(limit), old_(old), dir_(dir) {}

  bool emit(std::string_view name, Ino ino, uint8_t type, uint64_t next_pos) override {
    if (installed_guard && !shows(name)) return true;
    // ino, off, reclen; then type and name, or name and type.
    constexpr size_t kHead = 8 + 8 + 2;
    const size_t length = (kHead + 1 + name.size() + 1 + 7) & ~size_t(7);
    if (bytes.size() + length > limit_) {
      too_small = bytes.empty();
      return false;
    }
    const size_t at = bytes.size();
    bytes.resize(at + length);
    std::byte* p = bytes.data() + at;
    const auto reclen = uint16_t(length);
    memcpy(p, &ino, 8);
    memcpy(p + 8, &next_pos, 8);
    memcpy(p + 16, &reclen, 2);
    if (old_) {
      memcpy(p + kHead, name.data(), name.size());
      p[length - 1] = std::byte(type);
    } else {
      p[kHead] = std::byte(type);
      memcpy(p + kHead + 1, name.data(), name.size());
    }
    return true;
  }

  std::vector<std::byte> bytes;
  bool too_small = false;

 private:
  bool shows(std::string_view name) const {
    return name == "." || name == ".." || installed_guard->lists(dir_, name);
  }

  size_t limit_;
  bool old_;
  const Path& dir_;
};

SyscallResult read_entries(Task& t, Fd fd, uint64_t addr, uint32_t count, bool old) {
  Ref<File> file = TRY(t.file(fd.n));
  if (!file->inode().is_dir()) return Err(ENOTDIR);
  if (file->path().dentry->deleted()) return Err(ENOENT);
  constexpr uint32_t kMost = 256 << 10;  // At once; the guest comes again for the rest.
  DirentSink sink(std::min(count, kMost), old, file->path());
  {
    Lock lock(file->pos_mutex());
    TRY(file->read_dir(sink, file->pos_locked()));
  }
  if (sink.too_small) return Err(EINVAL);
  notify_dentry(*file->path().dentry, IN_ACCESS);
  TRY(t.mem().copy_out(addr, sink.bytes));
  return int64_t(sink.bytes.size());
}

}  // namespace

SyscallResult getdents(Task& t, Fd fd, uint64_t buf, uint32_t count) {
  return read_entries(t, fd, buf, count, true);
}
SyscallResult getdents64(Task& t, Fd fd, uint64_t buf, uint32_t count) {
  return read_entries(t, fd, buf, count, false);
}

SyscallResult getcwd(Task& t, UserOut buf) {
  const Path cwd = t.fs->cwd();
  if (cwd.dentry->deleted()) return Err(ENOENT);
  const PathText text = PathText::of(cwd, t.fs->root());
  if (text.too_long) return Err(ENAMETOOLONG);
  const std::string shown = (text.reachable ? "" : "(unreachable)") + text.text;
  if (shown.size() + 1 > buf.len) return Err(ERANGE);
  TRY(t.mem().copy_out(buf.addr, std::as_bytes(std::span(shown.c_str(), shown.size() + 1))));
  return int64_t(shown.size() + 1);
}

SyscallResult chdir(Task& t, UserPath path) {
  const PathArg p = TRY(get_path(t, path));
  Path place = TRY(p.walk(kFollow | kWantDirectory));
  TRY(ask(Category::kChdir, place));
  TRY(vfs::may_enter(p.ctx, place));
  t.fs->set_cwd(std::move(place));
  return 0;
}

SyscallResult fchdir(Task& t, Fd fd) {
  const Place p = TRY(place_of_fd(t, fd, true));
  TRY(ask(Category::kChdir, p.path));
  TRY(vfs::may_enter(p.ctx, p.path));
  t.fs->set_cwd(p.path);
  return 0;
}

SyscallResult chroot(Task& t, UserPath path) {
  const PathArg p = TRY(get_path(t, path));
  Path place = TRY(p.walk(kFollow | kWantDirectory));
  TRY(ask(Category::kChroot, place));
  TRY(vfs::may_enter(p.ctx, place));
  if (!t.creds->capable(CAP_SYS_CHROOT)) return Err(EPERM);
  t.fs->set_root(std::move(place));
  return 0;
}

SyscallResult mkdirat(Task& t, DirFd dir, UserPath path, ModeBits mode) {
  const PathArg p = TRY(get_path(t, dir, path));
  TRY(vfs::mkdir(p.ctx, p.at, p.text, mode.bits));
  return 0;
}
SyscallResult mkdir(Task& t, UserPath path, ModeBits mode) {
  return mkdirat(t, DirFd{AT_FDCWD}, path, mode);
}

SyscallResult rmdir(Task& t, UserPath path) {
  const PathArg p = TRY(get_path(t, path));
  TRY(vfs::rmdir(p.ctx, p.at, p.text));
  return 0;
}

SyscallResult mknodat(Task& t, DirFd dir, UserPath path, ModeBits mode, uint32_t dev) {
  const PathArg p = TRY(get_path(t, dir, path));
  // dev_t of the call (12 bits of major, 20 of minor) spells small numbers as makedev(3) does.
  TRY(vfs::mknod(p.ctx, p.at, p.text, mode.bits, dev));
  return 0;
}
SyscallResult mknod(Task& t, UserPath path, ModeBits mode, uint32_t dev) {
  return mknodat(t, DirFd{AT_FDCWD}, path, mode, dev);
}

}  // namespace usk::sys
