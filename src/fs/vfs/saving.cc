// How names, mounts and open files come back. What is rebuilt here is derived: caches, counts,
// registrations.
#include "fs/vfs/saving.h"

#include <algorithm>

#include "fs/vfs/fd_table.h"
#include "fs/vfs/internal.h"
#include "fs/vfs/mount_context.h"
#include "fs/vfs/mount_tree.h"
#include "fs/vfs/path_file.h"
#include "fs/vfs/walk.h"
#include "state/singletons.h"

namespace usk {
namespace {

// Longer ways up than any guest can have made: more names than it has memory for.
constexpr size_t kMaxDepth = 1 << 20;

// Whether one comes from `start` to a null by going `up`.
template <class T, class Up>
bool has_top(const T* start, Up up) {
  size_t steps = 0;
  for (const T* at = start; at; at = up(at)) {
    if (++steps > kMaxDepth) return false;
  }
  return true;
}

}  // namespace

USK_SAVED(Dentry, "fs/vfs/dentry")
USK_SAVED(Mount, "fs/vfs/mount")
USK_SAVED(PeerGroup, "fs/vfs/peer-group")
USK_SAVED(MountNamespace, "fs/vfs/mount-namespace")
USK_SAVED(MountContext, "fs/vfs/mount-context")
USK_SAVED(FdTable, "fs/vfs/fd-table")
USK_SAVED(PathFile, "fs/vfs/path-file")
USK_SAVED(FileSignaller, "fs/vfs/file-signaller")
USK_SAVED(DirectoryMark, "fs/vfs/directory-mark")
USK_SAVED(InternalFs, "fs/vfs/internal-fs")
USK_SINGLETON(fs_sysctls, "fs-sysctls")

OrFailure<void> Dentry::restored(state::Restored&) NO_THREAD_SAFETY_ANALYSIS {
  if (!has_top<Dentry>(this, [](const Dentry* d) { return d->parent_.get(); })) {
    return fail("a directory within itself");
  }
  if (!hashed_) return {};
  hashed_ = false;
  if (!parent_ || parent_->is_negative() || kind_ != Kind::kNormal) return fail("a name nowhere");
  if (parent_->children_.contains(name_)) return fail("a name that comes twice");
  parent_->insert_locked(Ref<Dentry>::share(this));
  return {};
}

OrFailure<void> Mount::restored(state::Restored&) {
  if (!fs_ || !root_ || root_->is_negative()) return fail("a mount of nothing");
  fs_->count_mount(1);
  Lock lock(mount_tree_mutex);
  if (peers_ && !peers_->members.insert(this).second) return fail("a mount number twice");
  if (master_ && !master_->slaves.insert(this).second) return fail("a mount number twice");
  if (!parent_) return {};
  if (!mountpoint_ || parent_->children_.contains(mountpoint_.get())) {
    return fail("a mount at no place of its own");
  }
  MountTree::link(Ref<Mount>::share(this), Path(parent_, mountpoint_));
  return {};
}

OrFailure<void> MountNamespace::restored(state::Restored&) {
  Lock lock(mount_tree_mutex);
  // A tree that was mounted elsewhere leaves a namespace of nothing.
  if (!owner_ || (!root_ && !(detached_ && mounts_.empty()))) return fail("a namespace of nothing");
  for (const auto& [id, mount] : mounts_) {
    if (!mount || mount->id() != id || mount->ns_) return fail("a mount that is not its own");
    mount->ns_ = this;
  }
  if (root_ && root_->ns_ != this) return fail("a root that is not its own");
  for (const auto& [id, mount] : mounts_) {
    auto up = [](const Mount* m) NO_THREAD_SAFETY_ANALYSIS { return m->parent_.get(); };
    if (!has_top<Mount>(mount.get(), up)) return fail("a mount within itself");
  }
  return {};
}

OrFailure<void> FdTable::restored(state::Restored&) {
  Lock lock(mu_);
  const auto free = std::ranges::find_if(slots_, [](const Slot& s) { return !s.file; });
  lowest_free_ = size_t(free - slots_.begin());
  return {};
}

OrFailure<void> FileSignaller::restored(state::Restored&) {
  if (pending_ != 0) list_again();
  return {};
}

OrFailure<void> DirectoryMark::restored(state::Restored&) {
  if (!signaller_) return fail("a mark for nobody");
  return {};
}

OrFailure<void> File::restored(state::Restored&) {
  if (!path_.dentry || path_.dentry->is_negative()) return fail("a file without an inode");
  if (path_.mount && !creds_) return fail("a file that nobody opened");
  if (holds_write_) {
    if (!inode().get_write_access()) return fail("open for writing while it is executed");
    if (path_.mount) path_.mount->count_writer(1);
  }
  // Registered anew, as when they were set.
  Ref<FileSignaller> async;
  Ref<DirectoryMark> mark;
  {
    Lock lock(owner_mu_);
    async = std::move(async_);
    mark = std::move(directory_mark_);
  }
  if (async) set_async(std::move(async));
  if (mark) set_directory_mark(std::move(mark));
  return {};
}

}  // namespace usk
