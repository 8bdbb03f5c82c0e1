#include "kernel/core/core_file.h"

#include <sys/stat.h>

#include "fs/vfs/vfs_ops.h"
#include "kernel/kernel.h"

namespace usk {
namespace {

// As root's, below the root of process 1: the dumper may have chosen its own with chroot(2) in a
// user namespace.
Result<WalkContext> root_context(Task& t) {
  WalkContext ctx = t.walk_context();
  Ref<Creds> creds = t.creds->clone();
  creds->fsuid = 0;
  ctx.creds = creds;
  Ref<FsState> fs;
  {
    Lock lock(task_mutex);
    if (Task* init = t.kernel.init->leader) fs = init->fs;
  }
  if (!fs) return Err(ENOENT);
  ctx.root = ctx.cwd = fs->root();
  return ctx;
}

}  // namespace

Result<Ref<File>> make_core_file(Task& t, const std::string& name, bool as_root) {
  if (as_root && !name.starts_with('/')) return Err(EPERM);
  const WalkContext ctx = as_root ? TRY(root_context(t)) : t.walk_context();
  // One of the dumper's own goes away; with root's rights none does. What else is wrong with the
  // name, open() says.
  if (!as_root) (void)vfs::unlink(ctx, ctx.cwd, name);
  Ref<File> file = TRY(
      vfs::open(ctx, ctx.cwd, name,
                {.flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_LARGEFILE, .mode = 0600}));
  const Attr a = TRY(file->inode().getattr());
  if (!S_ISREG(a.mode) || a.nlink != 1) return Err(EPERM);
  // A file system that chose owner or mode itself may show it to others.
  if (a.uid != ctx.creds->fsuid || (a.mode & 0677) != 0600) return Err(EPERM);
  return file;
}

CoreFile::CoreFile(Ref<File> file, uint64_t limit, uint64_t end)
    : file_(std::move(file)), seeks_(file_->can(File::kPread)), limit_(limit), end_(end) {}

void CoreFile::put(std::span<const std::byte> bytes) {
  if (ended_) return;
  if (!seeks_) {
    rest_.insert(rest_.end(), bytes.begin(), bytes.end());
    return;
  }
  if (bytes.size() > limit_ - written_ || position_ > end_ || bytes.size() > end_ - position_) {
    ended_ = true;
    return;
  }
  write(bytes);
}

void CoreFile::write(std::span<const std::byte> bytes) {
  KernelIn in(bytes);
  while (in.size() > 0) {
    const auto n = file_->write(in, position_);
    if (!n || *n == 0) {
      ended_ = true;
      return;
    }
    written_ += *n;
  }
  trailing_hole_ = false;
}

void CoreFile::skip(uint64_t length) {
  if (ended_ || length == 0) return;
  if (seeks_) {
    position_ += length;
    trailing_hole_ = true;
  } else {
    zeros_ += length;
  }
}

bool CoreFile::flush() {
  while (!ended_ && !is_flushed()) {
    if (rest_.empty()) {
      rest_.resize(std::min<uint64_t>(zeros_, kMostAtOnce));
      zeros_ -= rest_.size();
    }
    KernelIn in(rest_);
    uint64_t position = 0;
    const auto n = file_->write(in, position);
    if (failed_with(n, EAGAIN)) return false;
    if (!n || *n == 0) {
      ended_ = true;
    } else {
      rest_.erase(rest_.begin(), rest_.begin() + ptrdiff_t(*n));
    }
  }
  return true;
}

void CoreFile::finish() {
  if (!trailing_hole_ || ended_) return;
  const std::byte zero{};
  position_--;
  put(std::span(&zero, 1));
}

}  // namespace usk
