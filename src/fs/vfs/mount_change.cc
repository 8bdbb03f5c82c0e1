// mount(2): what is put, bound and moved where, and pivot_root(2).
#include <algorithm>

#include "fs/vfs/mount_tree.h"

namespace usk {

Result<void> MountNamespace::check_place_locked(const Path& at, const Mount& mount) const {
  if (at.mount->ns_ != this) return Err(EINVAL);
  if (at.dentry->deleted()) return Err(ENOENT);
  if (at.dentry->inode()->is_dir() != mount.root_->inode()->is_dir()) return Err(ENOTDIR);
  // Somebody mounted there since top_of(): as if that had happened first and failed us.
  if (at.mount->children_.contains(at.dentry.get())) return Err(EBUSY);
  return {};
}

// Puts a tree on a free place, and copies of it on all that follow. All or nothing.
Result<void> MountNamespace::graft_locked(const std::vector<Ref<Mount>>& tree, const Path& at) {
  const bool moves_within = tree.front()->ns_ == this;
  std::map<MountNamespace*, size_t> counts;
  if (!moves_within) counts[this] = tree.size();
  std::vector<Ref<Mount>> made_shared;
  if (at.mount->peers_) {
    for (const auto& m : tree) {
      if (m->peers_) continue;
      MountTree::set_type(*m, MS_SHARED);
      made_shared.push_back(m);
    }
    for (const auto& m : MountTree::receivers(*at.mount)) {
      if (at.dentry->is_below_or_same(*m->root_)) counts[m->ns_] += tree.size();
    }
  }
  const bool fits = std::ranges::all_of(counts, [](const auto& c) NO_THREAD_SAFETY_ANALYSIS {
    return c.first->mounts_.size() + c.second <= kMaxMounts;
  });
  std::vector<MountTree::Copy> copies;
  Result<void> done = fits ? MountTree::propagate(tree, at, copies) : Err(ENOSPC);
  if (!done) {
    std::vector<Path> dropped;
    for (const auto& c : copies) MountTree::free(c.tree, dropped);
    for (const auto& m : made_shared) MountTree::leave(*m);
    return done;
  }
  if (!moves_within) {
    for (const auto& m : tree) {
      if (m->ns_) m->ns_->disown_locked(*m);
      adopt_locked(m);
    }
  }
  MountTree::link(tree.front(), at);
  generation_++;
  for (const auto& c : copies) {
    MountNamespace& ns = *c.at.mount->ns_;
    if (ns.owner_ != owner_) MountTree::lock_together(c.tree);
    std::vector<Path> dropped;
    // What stands there already stays on top.
    Ref<Mount> above = MountTree::child_at(*c.at.mount, *c.at.dentry);
    if (above) MountTree::unlink(*above, dropped);
    MountTree::link(c.tree.front(), c.at);
    if (above) {
      Ref<Mount> top = MountTree::topmost(c.tree.front());
      MountTree::link(above, Path(top, top->root_));
    }
    for (const auto& m : c.tree) ns.adopt_locked(m);
  }
  return {};
}

Result<void> MountNamespace::attach(Ref<Mount> mount, const Path& where) {
  const Path at = top_of(where);
  Lock lock(mount_tree_mutex);
  TRY(check_place_locked(at, *mount));
  if (at.mount->fs_ == mount->fs_ && at.dentry == at.mount->root_ && at.dentry == mount->root_) {
    return Err(EBUSY);
  }
  return graft_locked({std::move(mount)}, at);
}

// What may be copied: of this namespace, or of a tree that open_tree(2) made.
Result<void> MountNamespace::check_source_locked(const Path& from, bool recursive) const {
  const MountNamespace* ns = from.mount->ns_;
  if (ns != this && !(ns && ns->detached_)) return Err(EINVAL);
  if (from.mount->unbindable_) return Err(EINVAL);
  if (from.dentry->deleted()) return Err(ENOENT);
  if (!recursive && MountTree::has_locked_children(from)) return Err(EINVAL);
  return {};
}

Result<void> MountNamespace::bind(const Path& from, const Path& where, bool recursive) {
  const Path at = top_of(where);
  std::vector<Path> dropped;
  Lock lock(mount_tree_mutex);
  TRY(check_source_locked(from, recursive));
  const size_t most = kMaxMounts - std::min(kMaxMounts, mounts_.size());
  if (recursive && MountTree::below(from.mount).size() > most) return Err(ENOSPC);
  const MountTree::Mounts tree = TRY(MountTree::copy(from, {.recursive = recursive}));
  tree.front()->locked_ = false;
  auto done = check_place_locked(at, *tree.front());
  if (done) done = graft_locked(tree, at);
  if (!done) MountTree::free(tree, dropped);
  return done;
}

Result<void> MountNamespace::check_move_locked(const Path& from, const Path& to) const {
  const Mount& m = *from.mount;
  if (from.dentry != m.root_ || !m.ns_) return Err(EINVAL);
  const bool detached = m.ns_->detached_;
  if (detached ? m.ns_->root_ != from.mount : (m.ns_ != this || !m.parent_)) return Err(EINVAL);
  if (m.locked_) return Err(EINVAL);
  if (to.mount->ns_ != this) return Err(EINVAL);
  if (to.dentry->deleted()) return Err(ENOENT);
  if (to.dentry->inode()->is_dir() != m.root_->inode()->is_dir()) return Err(EINVAL);
  if (!detached && m.parent_->peers_) return Err(EINVAL);
  if (to.mount->peers_ && MountTree::has_unbindable(from.mount)) return Err(EINVAL);
  for (const Mount* up = to.mount.get(); up; up = up->parent_.get()) {
    if (up == &m) return Err(ELOOP);
  }
  return {};
}

Result<void> MountNamespace::move(const Path& from, const Path& where, bool beneath) {
  Path to = top_of(where);
  std::vector<Path> dropped;
  Ref<Mount> covered;  // What `beneath` slips it under.
  Ref<MountNamespace> source;
  Lock lock(mount_tree_mutex);
  if (beneath) {
    covered = to.mount;
    if (to.dentry != covered->root_ || !covered->parent_ || covered->ns_ != this) {
      return Err(EINVAL);
    }
    if (covered->locked_ || covered == from.mount) return Err(EINVAL);
    to = Path(covered->parent_, covered->mountpoint_);
  }
  TRY(check_move_locked(from, to));
  if (!beneath && to.mount->children_.contains(to.dentry.get())) return Err(EBUSY);
  const MountTree::Mounts tree = MountTree::below(from.mount);
  MountNamespace* old_ns = from.mount->ns_;
  const Path old_place =
      from.mount->parent_ ? Path(from.mount->parent_, from.mount->mountpoint_) : Path();
  MountTree::unlink(*from.mount, dropped);
  if (covered) MountTree::unlink(*covered, dropped);
  auto done = graft_locked(tree, to);
  if (!done) {
    if (old_place) MountTree::link(from.mount, old_place);
    if (covered) MountTree::link(covered, to);
    return done;
  }
  if (covered) {
    const Ref<Mount> top = MountTree::topmost(from.mount);
    MountTree::link(covered, Path(top, top->root_));
  }
  if (old_ns != this) old_ns->root_.reset();
  return {};
}

Result<void> MountNamespace::check_pivot_locked(const Path& root, const Path& new_root,
                                                const Path& put_old) const {
  const Mount &old_mount = *root.mount, &new_mount = *new_root.mount;
  if (put_old.mount->peers_) return Err(EINVAL);
  if (new_mount.parent_ && new_mount.parent_->peers_) return Err(EINVAL);
  if (old_mount.parent_ && old_mount.parent_->peers_) return Err(EINVAL);
  if (old_mount.ns_ != this || new_mount.ns_ != this || put_old.mount->ns_ != this) {
    return Err(EINVAL);
  }
  if (new_mount.locked_) return Err(EINVAL);
  if (new_root.dentry->deleted() || put_old.dentry->deleted()) return Err(ENOENT);
  if (&new_mount == &old_mount || put_old.mount.get() == &old_mount) return Err(EBUSY);
  if (root.dentry != old_mount.root_ || new_root.dentry != new_mount.root_) return Err(EINVAL);
  if (!new_mount.parent_) return Err(EINVAL);
  // put_old is at or below new_root, and new_root below root.
  auto below = [](const Mount* m, const Mount* top) NO_THREAD_SAFETY_ANALYSIS {
    while (m && m != top) m = m->parent_.get();
    return m != nullptr;
  };
  if (!below(put_old.mount.get(), &new_mount)) return Err(EINVAL);
  if (!below(&new_mount, &old_mount)) return Err(EINVAL);
  return {};
}

Result<void> MountNamespace::pivot_root(const Path& root, const Path& new_root, const Path& where) {
  const Path put_old = top_of(where);
  std::vector<Path> dropped;
  Lock lock(mount_tree_mutex);
  TRY(check_pivot_locked(root, new_root, put_old));
  const Ref<Mount>& old_mount = root.mount;
  const Ref<Mount>& new_mount = new_root.mount;
  MountTree::unlink(*new_mount, dropped);
  if (old_mount->parent_) {
    const Path place(old_mount->parent_, old_mount->mountpoint_);
    MountTree::unlink(*old_mount, dropped);
    MountTree::link(new_mount, place);
  } else {
    root_ = new_mount;
  }
  std::swap(old_mount->locked_, new_mount->locked_);  // Locked was at most the old one.
  MountTree::link(old_mount, put_old);
  generation_++;
  return {};
}

}  // namespace usk
