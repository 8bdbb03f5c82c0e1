// What a mount is like: propagation, flags; mount_setattr(2).
#include "fs/vfs/mount_tree.h"

namespace usk {
namespace {

constexpr unsigned long kAtimeFlags = MS_NOATIME | MS_NODIRATIME | MS_RELATIME;

}  // namespace

Result<void> MountNamespace::set_propagation(const Path& at, unsigned long type, bool recursive) {
  Lock lock(mount_tree_mutex);
  if (at.dentry != at.mount->root_ || at.mount->ns_ != this) return Err(EINVAL);
  const auto tree = recursive ? MountTree::below(at.mount) : MountTree::Mounts{at.mount};
  for (const auto& m : tree) MountTree::set_type(*m, type);
  generation_++;
  return {};
}

Result<void> MountNamespace::set_group(const Path& from, const Path& to) {
  Lock lock(mount_tree_mutex);
  Mount &f = *from.mount, &t = *to.mount;
  if (from.dentry != f.root_ || to.dentry != t.root_) return Err(EINVAL);
  if (f.ns_ != this || t.ns_ != this) return Err(EPERM);
  if (t.peers_ || t.master_) return Err(EINVAL);
  if (!f.peers_ && !f.master_) return Err(EINVAL);
  if (f.fs_ != t.fs_ || !t.root_->is_below_or_same(*f.root_)) return Err(EINVAL);
  if (MountTree::has_locked_children(from)) return Err(EINVAL);
  if (f.master_) MountTree::follow(t, f.master_);
  if (f.peers_) MountTree::join(t, f.peers_);
  generation_++;
  return {};
}

namespace {

// EPERM where flags that a more privileged namespace locked would go.
Result<void> check_locked(unsigned long old, unsigned long locked, unsigned long now) {
  constexpr unsigned long kRights = MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC;
  if (locked & kRights & old & ~now) return Err(EPERM);
  if ((locked & kAtimeFlags) && ((old ^ now) & kAtimeFlags)) return Err(EPERM);
  return {};
}

}  // namespace

Result<void> MountNamespace::remount(const Path& at, unsigned long flags) {
  Lock lock(mount_tree_mutex);
  Mount& m = *at.mount;
  if (at.dentry != m.root_ || m.ns_ != this) return Err(EINVAL);
  TRY(check_locked(m.flags(), m.locked_flags_, flags));
  if ((flags & MS_RDONLY) && !m.has(MS_RDONLY) && m.writers() > 0) return Err(EBUSY);
  m.flags_ = flags & Mount::kFlags;
  generation_++;
  return {};
}

Result<void> MountNamespace::set_attributes(const Path& at, const AttrMask& what, bool recursive) {
  Lock lock(mount_tree_mutex);
  MountNamespace* ns = at.mount->ns_;
  if (at.dentry != at.mount->root_) return Err(EINVAL);
  if (ns != this && !(ns && ns->detached_)) return Err(EINVAL);
  const auto tree = recursive ? MountTree::below(at.mount) : MountTree::Mounts{at.mount};
  auto flags_of = [&](const Mount& m) { return (m.flags() & ~what.clear) | what.set; };
  for (const auto& m : tree) {
    const unsigned long flags = flags_of(*m);
    TRY(check_locked(m->flags(), m->locked_flags_, flags));
    if ((flags & MS_RDONLY) && !m->has(MS_RDONLY) && m->writers() > 0) return Err(EBUSY);
  }
  for (const auto& m : tree) {
    m->flags_ = flags_of(*m) & Mount::kFlags;
    if (what.type) MountTree::set_type(*m, what.type);
  }
  ns->generation_++;
  return {};
}

}  // namespace usk
