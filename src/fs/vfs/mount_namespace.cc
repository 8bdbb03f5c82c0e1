#include <algorithm>

#include "fs/vfs/mount_tree.h"

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

Ref<MountNamespace> MountNamespace::make_detached(Ref<Mount> root, Ref<UserNamespace> owner) {
  Ref<MountNamespace> ns = make(std::move(root), std::move(owner));
  ns->detached_ = true;
  return ns;
}

MountNamespace::~MountNamespace() {
  std::map<int, Ref<Mount>> mounts;  // All let go after the lock.
  Ref<Mount> root;
  std::vector<Path> dropped;
  Lock lock(mount_tree_mutex);
  mounts.swap(mounts_);
  std::swap(root, root_);
  for (const auto& [id, m] : mounts) {
    m->ns_ = nullptr;
    MountTree::set_type(*m, MS_PRIVATE);
    MountTree::unlink(*m, dropped);
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

bool Mount::is_in_a_tree() const {
  Lock lock(mount_tree_mutex);
  return ns_ && !ns_->is_detached();
}

bool MountNamespace::contains(const Mount& mount) const {
  Lock lock(mount_tree_mutex);
  return mount.ns_ == this;
}

void MountNamespace::adopt_locked(const Ref<Mount>& mount) {
  mount->ns_ = this;
  mounts_.emplace(mount->id(), mount);
  generation_++;
}

void MountNamespace::disown_locked(Mount& mount) {
  mount.ns_ = nullptr;
  mounts_.erase(mount.id());
  generation_++;
}

Result<Ref<MountNamespace>> MountNamespace::clone(Ref<UserNamespace> owner,
                                                  std::vector<Path*> moved) {
  auto ns = Ref<MountNamespace>::adopt(new MountNamespace);
  ns->id_ = next_namespace_id();
  ns->owner_ = std::move(owner);
  const bool less = ns->owner_ != owner_;
  std::vector<const Mount*> originals;
  std::vector<Path> old;  // Let go after the lock.
  Lock lock(mount_tree_mutex);
  const MountTree::Mounts tree = TRY(MountTree::copy(
      Path(root_, root_->root_), {.with_unbindable = true, .shared_to_slave = less}, &originals));
  if (less) MountTree::lock_together(tree);
  std::map<const Mount*, Ref<Mount>> copies;
  for (size_t i = 0; i < tree.size(); i++) {
    ns->adopt_locked(tree[i]);
    copies[originals[i]] = tree[i];
  }
  ns->root_ = tree.front();
  for (Path* p : moved) {
    auto it = copies.find(p->mount.get());
    if (it == copies.end()) continue;
    old.push_back(*p);
    p->mount = it->second;
  }
  return ns;
}

Result<Ref<MountNamespace>> MountNamespace::copy_tree(const Path& from, bool recursive) {
  auto ns = Ref<MountNamespace>::adopt(new MountNamespace);
  ns->id_ = next_namespace_id();
  ns->owner_ = owner_;
  ns->detached_ = true;
  Lock lock(mount_tree_mutex);
  TRY(check_source_locked(from, recursive));
  const MountTree::Mounts tree = TRY(MountTree::copy(from, {.recursive = recursive}));
  tree.front()->locked_ = false;
  for (const auto& m : tree) ns->adopt_locked(m);
  ns->root_ = tree.front();
  return ns;
}

std::vector<Ref<Mount>> MountNamespace::list() const {
  std::vector<Ref<Mount>> out;
  Lock lock(mount_tree_mutex);
  out.reserve(mounts_.size());
  for (const auto& [id, m] : mounts_) out.push_back(m);
  return out;
}

Ref<Mount> MountNamespace::find(int id) const {
  Lock lock(mount_tree_mutex);
  auto it = mounts_.find(id);
  return it == mounts_.end() ? Ref<Mount>() : it->second;
}

}  // namespace usk
