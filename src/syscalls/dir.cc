// getdents64(2), getdents(2), getcwd(2), chdir(2), fchdir(2), chroot(2).
#include <dirent.h>
#include <linux/capability.h>

#include <cstring>

#include "fs/vfs/dir.h"
#include "syscalls/at.h"

namespace usk::sys {
namespace {

// Lays entries out as the call wants them, up to the caller's size.
class EntryBuffer final : public DirSink {
 public:
  EntryBuffer(size_t room, bool old_layout) : room_(room), old_(old_layout) {}
  bool emit(std::string_view name, Ino ino, uint8_t type, uint64_t next_pos) override {
    // d_ino, d_off, d_reclen, then type and name, or name and (in the last byte) type.
    constexpr size_t kHead = 18;
    const size_t length = (kHead + name.size() + 2 + 7) & ~size_t(7);
    if (bytes_.size() + length > room_) {
      full_ = true;
      return false;
    }
    std::vector<std::byte> e(length);
    const uint16_t reclen = uint16_t(length);
    memcpy(e.data(), &ino, 8);
    memcpy(e.data() + 8, &next_pos, 8);
    memcpy(e.data() + 16, &reclen, 2);
    if (old_) {
      memcpy(e.data() + kHead, name.data(), name.size());
      e[length - 1] = std::byte(type);
    } else {
      e[kHead] = std::byte(type);
      memcpy(e.data() + kHead + 1, name.data(), name.size());
    }
    bytes_.insert(bytes_.end(), e.begin(), e.end());
    return true;
  }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  bool full() const { return full_; }

 private:
  const size_t room_;
  const bool old_;
  bool full_ = false;
  std::vector<std::byte> bytes_;
};

SyscallResult read_entries(Task& t, Fd fd, UserOut buf, bool old_layout) {
  Ref<File> file = TRY(t.file(fd.n));
  if (!file->inode().is_dir()) return Err(ENOTDIR);
  const size_t room = std::min<uint64_t>(uint32_t(buf.len), 1 << 20);
  EntryBuffer sink(room, old_layout);
  {
    Lock lock(file->pos_mutex());
    TRY(file->read_dir(sink, file->pos_locked()));
  }
  if (sink.bytes().empty()) return sink.full() ? SyscallResult(Err(EINVAL)) : SyscallResult(0);
  TRY(t.mem().copy_out(buf.addr, sink.bytes()));
  return sink.bytes().size();
}

}  // namespace

SyscallResult getdents64(Task& t, Fd fd, UserOut buf) { return read_entries(t, fd, buf, false); }
SyscallResult getdents(Task& t, Fd fd, UserOut buf) { return read_entries(t, fd, buf, true); }

SyscallResult getcwd(Task& t, UserOut buf) {
  const PathText text = PathText::of(t.fs->cwd(), t.fs->root());
  if (text.deleted) return Err(ENOENT);
  if (text.too_long) return Err(ENAMETOOLONG);
  const std::string shown = text.reachable ? text.text : "(unreachable)" + text.text;
  if (shown.size() + 1 > buf.len) return Err(ERANGE);
  TRY(t.mem().copy_out(buf.addr, std::as_bytes(std::span(shown.c_str(), shown.size() + 1))));
  return shown.size() + 1;
}

SyscallResult chdir(Task& t, UserPath path) {
  const std::string name = TRY(t.mem().get_path(path));
  const Path place = TRY(walk(t.walk_context(), t.fs->cwd(), name, kFollow | kWantDirectory));
  TRY(vfs::may_enter(t.walk_context(), place));
  t.fs->set_cwd(place);
  return 0;
}

SyscallResult fchdir(Task& t, Fd fd) {
  const Path place = TRY(t.file_or_path(fd.n))->path();
  if (!place.inode().is_dir()) return Err(ENOTDIR);
  TRY(vfs::may_enter(t.walk_context(), place));
  t.fs->set_cwd(place);
  return 0;
}

SyscallResult chroot(Task& t, UserPath path) {
  const std::string name = TRY(t.mem().get_path(path));
  const Path place = TRY(walk(t.walk_context(), t.fs->cwd(), name, kFollow | kWantDirectory));
  TRY(vfs::may_enter(t.walk_context(), place));
  if (!t.capable(CAP_SYS_CHROOT)) return Err(EPERM);
  t.fs->set_root(place);
  return 0;
}

}  // namespace usk::sys
