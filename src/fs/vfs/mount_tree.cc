#include "fs/vfs/mount_tree.h"

#include <algorithm>

namespace usk {
namespace {

// What a mount costs the kernel, about.
constexpr size_t kMountCost = 512;

constexpr unsigned long kAtimeFlags = MS_NOATIME | MS_NODIRATIME | MS_RELATIME;

// The mounts that stand somewhere, by place.
std::multimap<const Dentry*, Mount*> mounts_by_place GUARDED_BY(mount_tree_mutex);

}  // namespace

void MountTree::link(const Ref<Mount>& mount, const Path& at) {
  mount->parent_ = at.mount;
  mount->mountpoint_ = at.dentry;
  at.dentry->count_mount(1);
  mounts_by_place.emplace(at.dentry.get(), mount.get());
  at.mount->children_[at.dentry.get()] = mount;
}

void MountTree::unlink(Mount& mount, std::vector<Path>& dropped) {
  if (!mount.parent_) return;
  mount.mountpoint_->count_mount(-1);
  auto [from, to] = mounts_by_place.equal_range(mount.mountpoint_.get());
  mounts_by_place.erase(std::find_if(from, to, [&](const auto& e) { return e.second == &mount; }));
  auto it = mount.parent_->children_.find(mount.mountpoint_.get());
  dropped.emplace_back(std::move(it->second), mount.mountpoint_);
  mount.parent_->children_.erase(it);
  dropped.emplace_back(std::move(mount.parent_), std::move(mount.mountpoint_));
}

void MountTree::disown(Mount& mount) {
  if (mount.ns_) mount.ns_->disown_locked(mount);
}

MountTree::Mounts MountTree::all_on(const Dentry& place) {
  Mounts out;
  auto [from, to] = mounts_by_place.equal_range(&place);
  for (auto it = from; it != to; ++it) out.push_back(Ref<Mount>::share(it->second));
  return out;
}

Ref<Mount> MountTree::child_at(const Mount& mount, const Dentry& place) {
  auto it = mount.children_.find(&place);
  return it == mount.children_.end() ? Ref<Mount>() : it->second;
}

Ref<Mount> MountTree::topmost(Ref<Mount> mount) {
  while (Ref<Mount> above = child_at(*mount, *mount->root_)) mount = std::move(above);
  return mount;
}

MountTree::Mounts MountTree::below(const Ref<Mount>& top) {
  Mounts out = {top};
  for (size_t i = 0; i < out.size(); i++) {
    const size_t first = out.size();
    for (const auto& [place, child] : out[i]->children_) out.push_back(child);
    std::sort(out.begin() + ptrdiff_t(first), out.end(),
              [](const auto& a, const auto& b) { return a->id() < b->id(); });
  }
  return out;
}

bool MountTree::has_unbindable(const Ref<Mount>& top) {
  for (const auto& m : below(top)) {
    if (m->unbindable_) return true;
  }
  return false;
}

bool MountTree::has_locked_children(const Path& place) {
  for (const auto& [at, child] : place.mount->children_) {
    if (child->locked_ && child->mountpoint_->is_below_or_same(*place.dentry)) return true;
  }
  return false;
}

Ref<Mount> MountTree::copy_one(const Mount& m, Ref<Dentry> root, const CopyHow& how) {
  Charge charge;
  if (!charge.set(kMountCost)) return {};
  Ref<Mount> copy = Mount::make({m.fs_, std::move(root)}, m.flags(), m.source_);
  copy->charge_ = std::move(charge);
  copy->locked_ = m.locked_;
  copy->locked_flags_ = m.locked_flags_;
  copy->unbindable_ = m.unbindable_;
  if (how.shared_to_slave && m.peers_) {
    follow(*copy, m.peers_);
    return copy;
  }
  if (m.peers_) join(*copy, m.peers_);
  if (m.master_) follow(*copy, m.master_);
  return copy;
}

Result<MountTree::Mounts> MountTree::copy(const Path& from, const CopyHow& how,
                                          std::vector<const Mount*>* originals) {
  Mounts out;
  std::vector<const Mount*> of;
  std::map<const Mount*, Ref<Mount>> copies;
  const Mounts all = how.recursive ? below(from.mount) : Mounts{from.mount};
  for (const auto& m : all) {
    const bool top = m == from.mount;
    Ref<Mount> parent;
    if (!top) {
      auto it = copies.find(m->parent_.get());
      if (it == copies.end()) continue;  // Its parent was left out.
      parent = it->second;
      if (m->parent_ == from.mount && !m->mountpoint_->is_below_or_same(*from.dentry)) continue;
      if (m->unbindable_ && !how.with_unbindable) continue;
    }
    Ref<Mount> copy = copy_one(*m, top ? from.dentry : m->root_, how);
    if (!copy) {
      std::vector<Path> dropped;
      free(out, dropped);
      return Err(ENOMEM);
    }
    if (parent) link(copy, Path(std::move(parent), m->mountpoint_));
    copies[m.get()] = copy;
    of.push_back(m.get());
    out.push_back(std::move(copy));
  }
  if (originals) *originals = std::move(of);
  return out;
}

void MountTree::free(const Mounts& tree, std::vector<Path>& dropped) {
  for (const auto& m : tree) {
    set_type(*m, MS_PRIVATE);
    unlink(*m, dropped);
  }
}

void MountTree::lock_together(const Mounts& tree) {
  for (const auto& m : tree) {
    m->locked_flags_ |= m->flags() & (MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC);
    m->locked_flags_ |= kAtimeFlags;
    if (m != tree.front()) m->locked_ = true;
  }
}

}  // namespace usk
