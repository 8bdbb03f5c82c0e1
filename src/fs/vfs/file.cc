#include "fs/vfs/file.h"

#include "base/id_counter.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_count.h"
#include "fs/vfs/file_signals.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/locks.h"
#include "fs/vfs/mount.h"
#include "fs/vfs/notify.h"

namespace usk {
namespace {

constexpr int kCreationFlags = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC;
constexpr int kSettable = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC;

std::atomic<uint64_t> count{0}, most{UINT64_MAX};

uint64_t next_file_id() {
  static IdCounter ids("file");
  return ids.next();
}

uint32_t access_bits(int flags) {
  switch (flags & O_ACCMODE) {
    case O_RDONLY: return File::kRead;
    case O_WRONLY: return File::kWrite;
    case O_RDWR: return File::kRead | File::kWrite;
  }
  return 0;  // Linux: access mode 3 opens for ioctl(2) only.
}

}  // namespace

uint64_t count_of_files() { return count.load(std::memory_order_relaxed); }
uint64_t most_files() { return most.load(std::memory_order_relaxed); }
void set_most_files(uint64_t n) { most.store(n, std::memory_order_relaxed); }

File::File(Path path, int flags, uint32_t mode_bits, Ref<const Creds> creds)
    : path_(std::move(path)),
      mode_(mode_bits | (mode_bits & kPathOnly ? 0 : access_bits(flags))),
      flags_(flags & ~kCreationFlags),
      creds_(std::move(creds)),
      id_(next_file_id()) {
  count.fetch_add(1, std::memory_order_relaxed);
}

File::File(Blank) : mode_(0), flags_(0), id_(0) { count.fetch_add(1, std::memory_order_relaxed); }

File::~File() {
  count.fetch_sub(1, std::memory_order_relaxed);
  if (!path_ || path_.dentry->is_negative()) return;
  Inode& node = inode();
  if (node.has_locks()) node.locks().drop_file(id_);
  if (holds_write_) {
    node.put_write_access();
    if (path_.mount) path_.mount->count_writer(-1);
  }
  if (!(mode_ & kPathOnly) && anyone_watches()) {
    notify_dentry(*path_.dentry, mode_ & kWrite ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
  }
}

void File::last_unref() {
  release_queue_.wake(kReleased);
  if (signals_.load(std::memory_order_relaxed)) {
    set_async({});
    set_directory_mark({});
  }
  delete this;
}

void File::set_async(Ref<FileSignaller> by) {
  Ref<FileSignaller> old;
  {
    Lock lock(owner_mu_);
    old = std::exchange(async_, by);
  }
  if (old) {
    queue().remove(old.get());
    old->file_gone();
  }
  if (!by) return;
  signals_ = true;
  const PollMask reader = POLLIN | POLLRDNORM | POLLPRI | POLLRDHUP;
  queue().add(std::move(by), can(kRead) ? reader : PollMask(POLLOUT | POLLWRNORM));
}

void File::set_directory_mark(Ref<DirectoryMark> mark) {
  Ref<DirectoryMark> old;
  {
    Lock lock(owner_mu_);
    old = std::exchange(directory_mark_, mark);
  }
  if (old) {
    inode().marks().remove(old.get());
    old->signaller().file_gone();
  }
  if (!mark) return;
  signals_ = true;
  inode().marks().add(std::move(mark));
}

Inode& File::inode() const { return path_.inode(); }

Result<void> File::hold_write_access() {
  TRY(inode().get_write_access());
  holds_write_ = true;
  if (path_.mount) path_.mount->count_writer(1);
  return {};
}

Result<void> File::set_flags(int flags) {
  if (append_only_) flags |= O_APPEND;
  int old = flags_.load();
  while (!flags_.compare_exchange_weak(old, (old & ~kSettable) | (flags & kSettable))) {
  }
  return {};
}

Result<uint64_t> File::seek(int64_t offset, int whence) {
  if (!can(kSeek)) return Err(ESPIPE);
  Lock lock(pos_mu_);
  int64_t base = 0;
  switch (whence) {
    case SEEK_SET: break;
    case SEEK_CUR: base = int64_t(pos_); break;
    case SEEK_END: base = int64_t(TRY(inode().getattr()).size); break;
    case SEEK_DATA:
    case SEEK_HOLE: {
      const uint64_t size = TRY(inode().getattr()).size;
      if (offset < 0 || uint64_t(offset) >= size) return Err(ENXIO);
      return pos_ = whence == SEEK_DATA ? uint64_t(offset) : size;
    }
    default: return Err(EINVAL);
  }
  int64_t to;
  if (__builtin_add_overflow(base, offset, &to)) return Err(EOVERFLOW);
  if (to < 0) return Err(EINVAL);
  return pos_ = uint64_t(to);
}

Result<void> File::truncate(uint64_t size) {
  if (!inode().is_regular() || !can(kWrite)) return Err(EINVAL);
  return inode().setattr({.set = AttrChange::kSize, .size = size});
}

File::Owner File::owner() {
  Lock lock(owner_mu_);
  return owner_;
}

void File::set_owner(const Owner& owner) {
  Lock lock(owner_mu_);
  owner_ = owner;
}

}  // namespace usk
