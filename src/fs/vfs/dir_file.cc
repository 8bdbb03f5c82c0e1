#include "fs/vfs/dir_file.h"

#include <dirent.h>

#include "fs/vfs/dentry.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"

namespace usk {

bool emit_dots(const Path& path, DirSink& sink, uint64_t& pos) {
  if (pos == 0) {
    if (!sink.emit(".", path.inode().ino(), DT_DIR, 1)) return false;
    pos = 1;
  }
  if (pos == 1) {
    Ref<Dentry> parent = path.dentry->parent();
    const Ino ino = parent ? parent->inode()->ino() : path.inode().ino();
    if (!sink.emit("..", ino, DT_DIR, 2)) return false;
    pos = 2;
  }
  return true;
}

Result<void> SnapshotDirFile::read_dir(DirSink& sink, uint64_t& pos) {
  if (pos == 0 || !taken_) {
    entries_ = TRY(list());
    taken_ = true;
  }
  if (!emit_dots(path(), sink, pos)) return {};
  while (pos - 2 < entries_.size()) {
    const DirEntry& e = entries_[pos - 2];
    if (!sink.emit(e.name, e.ino, e.type, pos + 1)) break;
    pos++;
  }
  return {};
}

bool wants_atime(const Path& path, int flags) {
  if ((flags & O_NOATIME) || !path.mount) return false;
  if (path.mount->has(MS_NOATIME | MS_RDONLY)) return false;
  return !(path.mount->has(MS_NODIRATIME) && path.inode().is_dir());
}

bool atime_is_stale(const Attr& a, const timespec& now) {
  auto not_after = [](const timespec& x, const timespec& y) {
    return x.tv_sec < y.tv_sec || (x.tv_sec == y.tv_sec && x.tv_nsec <= y.tv_nsec);
  };
  return not_after(a.atime, a.mtime) || not_after(a.atime, a.ctime) ||
         now.tv_sec - a.atime.tv_sec >= 24 * 60 * 60;
}

}  // namespace usk
