#include <algorithm>

#include "fs/vfs/mount.h"

namespace usk {

Ref<MountNamespace> MountNamespace::make(Ref<Mount> root, Ref<UserNamespace> owner) {
  auto ns = Ref<MountNamespace>::adopt(new MountNamespace);
  ns->id_ = next_namespace_id();
  ns->owner_ = std::move(owner);
  Lock lock(mount_tree_mutex);
  ns->adopt_locked(root);
  ns->root_ = std::move(root);
  return ns;
}

MountNamespace::~MountNamespace() {
  std::vector<Ref<Mount>> mounts;
  std::vector<Ref<Dentry>> places;  // Both let go after the lock.
  std::vector<std::map<const Dentry*, Ref<Mount>>> children;
  std::vector<Ref<Mount>> parents;
  Lock lock(mount_tree_mutex);
  mounts.swap(mounts_);
  parents.push_back(std::move(root_));
  for (const auto& m : mounts) {
    m->ns_ = nullptr;
    if (m->mountpoint_) m->mountpoint_->count_mount(-1);
    places.push_back(std::move(m->mountpoint_));
    parents.push_back(std::move(m->parent_));
    children.push_back(std::move(m->children_));
    m->children_.clear();
  }
}

Path MountNamespace::root() const {
  Ref<Mount> m;
  {
    Lock lock(mount_tree_mutex);
    m = root_;
  }
  Ref<Dentry> d = m->root();
  return top_of(Path(std::move(m), std::move(d)));
}

bool MountNamespace::contains(const Mount& mount) const {
  Lock lock(mount_tree_mutex);
  return mount.ns_ == this;
}

void MountNamespace::adopt_locked(const Ref<Mount>& mount) {
  mount->ns_ = this;
  mounts_.push_back(mount);
  generation_++;
}

void MountNamespace::link_locked(const Ref<Mount>& mount, const Path& at) {
  mount->parent_ = at.mount;
  mount->mountpoint_ = at.dentry;
  at.dentry->count_mount(1);
  at.mount->children_[at.dentry.get()] = mount;
  generation_++;
}

void MountNamespace::unlink_locked(Mount& mount) {
  if (!mount.parent_) return;
  mount.mountpoint_->count_mount(-1);
  mount.parent_->children_.erase(mount.mountpoint_.get());
  mount.parent_.reset();
  mount.mountpoint_.reset();
  generation_++;
}

Result<void> MountNamespace::check_place_locked(const Path& at, const Mount& mount) const {
  if (at.mount->ns_ != this) return Err(EINVAL);
  if (at.dentry->deleted()) return Err(ENOENT);
  if (at.dentry->inode()->is_dir() != mount.root_->inode()->is_dir()) return Err(ENOTDIR);
  return {};
}

Result<void> MountNamespace::attach(Ref<Mount> mount, const Path& where) {
  const Path at = top_of(where);
  Lock lock(mount_tree_mutex);
  TRY(check_place_locked(at, *mount));
  // Somebody mounted there since top_of(): as if that had happened first and failed us.
  if (at.mount->children_.contains(at.dentry.get())) return Err(EBUSY);
  if (at.mount->fs_ == mount->fs_ && at.dentry == at.mount->root_ && at.dentry == mount->root_) {
    return Err(EBUSY);
  }
  if (mounts_.size() >= kMaxMounts) return Err(ENOSPC);
  adopt_locked(mount);
  link_locked(mount, at);
  return {};
}

Ref<Mount> MountNamespace::copy_tree_locked(const Path& from, bool recursive,
                                            std::map<const Mount*, Ref<Mount>>& copies) const {
  Ref<Mount> top = from.mount->copy(from.dentry);
  copies[from.mount.get()] = top;
  if (!recursive) return top;
  std::vector<const Mount*> pending = {from.mount.get()};
  while (!pending.empty()) {
    const Mount* parent = pending.back();
    pending.pop_back();
    const Ref<Mount> parent_copy = copies[parent];
    for (const auto& [place, child] : parent->children_) {
      if (!child->mountpoint_->is_below_or_same(*parent_copy->root_)) continue;
      Ref<Mount> copy = child->copy(child->root_);
      copy->parent_ = parent_copy;
      copy->mountpoint_ = child->mountpoint_;
      copy->mountpoint_->count_mount(1);
      parent_copy->children_[place] = copy;
      copies[child.get()] = copy;
      pending.push_back(child.get());
    }
  }
  return top;
}

Result<Ref<MountNamespace>> MountNamespace::clone(Ref<UserNamespace> owner,
                                                  std::vector<Path*> moved) {
  auto ns = Ref<MountNamespace>::adopt(new MountNamespace);
  ns->id_ = next_namespace_id();
  ns->owner_ = std::move(owner);
  std::map<const Mount*, Ref<Mount>> copies;
  std::vector<Path> old;  // Let go after the lock.
  Lock lock(mount_tree_mutex);
  ns->root_ = copy_tree_locked(Path(root_, root_->root_), true, copies);
  for (const auto& m : mounts_) {
    if (auto it = copies.find(m.get()); it != copies.end()) ns->adopt_locked(it->second);
  }
  for (Path* p : moved) {
    auto it = copies.find(p->mount.get());
    if (it == copies.end()) continue;
    old.push_back(*p);
    p->mount = it->second;
  }
  return ns;
}

Result<void> MountNamespace::bind(const Path& from, const Path& where, bool recursive) {
  const Path at = top_of(where);
  std::map<const Mount*, Ref<Mount>> copies;
  Lock lock(mount_tree_mutex);
  if (from.mount->ns_ != this) return Err(EINVAL);
  if (from.dentry->deleted()) return Err(ENOENT);
  if (at.mount->ns_ != this) return Err(EINVAL);
  if (at.dentry->deleted()) return Err(ENOENT);
  if (at.dentry->inode()->is_dir() != from.dentry->inode()->is_dir()) return Err(ENOTDIR);
  if (at.mount->children_.contains(at.dentry.get())) return Err(EBUSY);
  if (mounts_.size() * (recursive ? 2 : 1) >= kMaxMounts) return Err(ENOSPC);
  Ref<Mount> top = copy_tree_locked(from, recursive, copies);
  const std::vector<Ref<Mount>> before = mounts_;
  for (const auto& m : before) {
    if (auto it = copies.find(m.get()); it != copies.end()) adopt_locked(it->second);
  }
  link_locked(top, at);
  return {};
}

Result<void> MountNamespace::move(const Path& from, const Path& where) {
  const Path to = top_of(where);
  Ref<Mount> old_parent;
  Ref<Dentry> old_place;
  Lock lock(mount_tree_mutex);
  Mount& m = *from.mount;
  if (from.dentry != m.root_ || m.ns_ != this || !m.parent_) return Err(EINVAL);
  if (to.mount->ns_ != this) return Err(EINVAL);
  if (to.dentry->deleted()) return Err(ENOENT);
  if (to.dentry->inode()->is_dir() != m.root_->inode()->is_dir()) return Err(EINVAL);
  for (const Mount* up = to.mount.get(); up; up = up->parent_.get()) {
    if (up == &m) return Err(ELOOP);
  }
  if (to.mount->children_.contains(to.dentry.get())) return Err(EBUSY);
  old_parent = m.parent_;
  old_place = m.mountpoint_;
  unlink_locked(m);
  link_locked(from.mount, to);
  return {};
}

Result<void> MountNamespace::remount(const Path& at, unsigned long flags) {
  Lock lock(mount_tree_mutex);
  Mount& m = *at.mount;
  if (at.dentry != m.root_ || m.ns_ != this) return Err(EINVAL);
  if ((flags & MS_RDONLY) && !m.has(MS_RDONLY) && m.writers() > 0) return Err(EBUSY);
  m.flags_ = flags & Mount::kFlags;
  generation_++;
  return {};
}

void MountNamespace::detach_tree_locked(const Ref<Mount>& top, std::vector<Ref<Mount>>& dropped) {
  size_t i = dropped.size();
  dropped.push_back(top);
  for (; i < dropped.size(); i++) {
    for (const auto& [place, child] : dropped[i]->children_) dropped.push_back(child);
  }
  for (const auto& m : dropped) {
    unlink_locked(*m);
    m->ns_ = nullptr;
  }
  std::erase_if(mounts_, [](const Ref<Mount>& m) NO_THREAD_SAFETY_ANALYSIS { return !m->ns_; });
}

Result<void> MountNamespace::umount(Path at, int flags) {
  std::vector<Ref<Mount>> dropped;  // Let go after the lock.
  Lock lock(mount_tree_mutex);
  Mount& m = *at.mount;
  if (at.dentry != m.root_ || m.ns_ != this || !m.parent_) return Err(EINVAL);
  if (flags & MNT_EXPIRE) {
    if (flags & (MNT_DETACH | MNT_FORCE)) return Err(EINVAL);
    return Err(EAGAIN);
  }
  // Held by its parent, by our list and by `at`: anything else is a use.
  if (!(flags & MNT_DETACH) && (!m.children_.empty() || m.ref_count() > 3)) return Err(EBUSY);
  detach_tree_locked(at.mount, dropped);
  return {};
}

Result<void> MountNamespace::pivot_root(const Path& root, const Path& new_root, const Path& where) {
  const Path put_old = top_of(where);
  std::vector<Ref<RefCounted>> dropped;
  Lock lock(mount_tree_mutex);
  const Ref<Mount>& old_mount = root.mount;
  const Ref<Mount>& new_mount = new_root.mount;
  if (old_mount->ns_ != this || new_mount->ns_ != this || put_old.mount->ns_ != this) {
    return Err(EINVAL);
  }
  if (new_root.dentry->deleted() || put_old.dentry->deleted()) return Err(ENOENT);
  if (new_mount == old_mount || put_old.mount == old_mount) return Err(EBUSY);
  if (root.dentry != old_mount->root_ || new_root.dentry != new_mount->root_) return Err(EINVAL);
  if (!new_mount->parent_) return Err(EINVAL);
  // put_old is at or below new_root, and new_root below root.
  auto below = [](const Mount* m, const Mount* top) NO_THREAD_SAFETY_ANALYSIS {
    while (m && m != top) m = m->parent_.get();
    return m != nullptr;
  };
  if (!below(put_old.mount.get(), new_mount.get())) return Err(EINVAL);
  if (!below(new_mount.get(), old_mount.get())) return Err(EINVAL);
  dropped.push_back(new_mount->parent_);
  dropped.push_back(new_mount->mountpoint_);
  unlink_locked(*new_mount);
  if (old_mount->parent_) {
    const Path place(old_mount->parent_, old_mount->mountpoint_);
    unlink_locked(*old_mount);
    link_locked(new_mount, place);
  } else {
    root_ = new_mount;
  }
  link_locked(old_mount, put_old);
  return {};
}

std::vector<Ref<Mount>> MountNamespace::list() const {
  Lock lock(mount_tree_mutex);
  return mounts_;
}

}  // namespace usk
