// umount2(2): of a mount, of what is mounted below it, and of their copies elsewhere.
#include <algorithm>

#include "fs/vfs/mount_tree.h"

namespace usk {
namespace {

// One run of umount: the mounts that go.
class Umount {
 public:
  // `tree` goes, whatever else.
  explicit Umount(const MountTree::Mounts& tree) REQUIRES(mount_tree_mutex) : going_(tree) {
    for (const auto& m : tree) set_.insert(m.get());
  }
  // Their copies at peers and slaves go too, unless something stands on those that stays.
  void add_copies() REQUIRES(mount_tree_mutex);
  const MountTree::Mounts& going() const { return going_; }
  bool contains(const Mount* m) const { return set_.contains(m); }

 private:
  MountTree::Mounts going_;  // Parents first, as far as one is the other's.
  std::set<const Mount*> set_;
};

}  // namespace

// Friend of the mounts; what is asked of a candidate.
struct UmountRules {
  static Ref<Mount> child_of(const Mount& receiver, const Mount& m) REQUIRES(mount_tree_mutex) {
    return MountTree::child_at(receiver, *m.mountpoint_);
  }
  static const Ref<Mount>& parent(const Mount& m) REQUIRES(mount_tree_mutex) { return m.parent_; }
  // Stands something on it that neither goes nor only covers it?
  template <class Goes>
  static bool is_held(const Mount& m, Goes goes) REQUIRES(mount_tree_mutex) {
    for (const auto& [place, child] : m.children_) {
      if (!goes(child.get()) && place != m.root_.get()) return true;
    }
    return false;
  }
  static bool is_locked(const Mount& m) REQUIRES(mount_tree_mutex) { return m.locked_; }
};

void Umount::add_copies() {
  MountTree::Mounts candidates;
  for (size_t i = 0; i < going_.size(); i++) {
    const Ref<Mount> m = going_[i];
    const Ref<Mount>& parent = UmountRules::parent(*m);
    if (!parent) continue;
    for (const auto& receiver : MountTree::receivers(*parent)) {
      Ref<Mount> copy = UmountRules::child_of(*receiver, *m);
      if (!copy || !set_.insert(copy.get()).second) continue;
      candidates.push_back(std::move(copy));
    }
  }
  // Children come after their parents, so going backwards each is judged after what is on it.
  std::vector<bool> stays(candidates.size());
  for (size_t i = candidates.size(); i-- > 0;) {
    const Mount& c = *candidates[i];
    const bool held =
        UmountRules::is_held(c, [this](const Mount* child) { return set_.contains(child); });
    const bool locked = UmountRules::is_locked(c) && !set_.contains(UmountRules::parent(c).get());
    if (!held && !locked) continue;
    stays[i] = true;
    set_.erase(&c);
  }
  for (size_t i = 0; i < candidates.size(); i++) {
    if (!stays[i]) going_.push_back(candidates[i]);
  }
}

bool is_mountpoint_in(const MountNamespace& ns, const Dentry& place) {
  MountTree::Mounts mounts;  // Let go after the lock.
  {
    Lock lock(mount_tree_mutex);
    mounts = MountTree::all_on(place);
  }
  return std::ranges::any_of(mounts, [&](const auto& m) { return ns.contains(*m); });
}

void unmount_everywhere(const Dentry& place) {
  MountTree::Mounts going;
  std::vector<Path> dropped;
  Lock lock(mount_tree_mutex);
  for (const auto& top : MountTree::all_on(place)) {
    for (const auto& m : MountTree::below(top)) {
      MountTree::unlink(*m, dropped);
      MountTree::set_type(*m, MS_PRIVATE);
      MountTree::disown(*m);
      going.push_back(m);
    }
  }
}

Result<void> MountNamespace::umount(Path at, int flags) {
  std::vector<Path> dropped;  // Let go after the lock, as are the mounts.
  MountTree::Mounts going;
  Lock lock(mount_tree_mutex);
  const Mount& m = *at.mount;
  if (at.dentry != m.root_ || m.ns_ != this || !m.parent_ || m.locked_) return Err(EINVAL);
  if (flags & MNT_EXPIRE) {
    if (flags & (MNT_DETACH | MNT_FORCE)) return Err(EINVAL);
    return Err(EAGAIN);
  }
  // Held by its parent, by our list and by `at`: anything else is a use.
  if (!(flags & MNT_DETACH) && (!m.children_.empty() || m.ref_count() > 3)) return Err(EBUSY);
  Umount plan(MountTree::below(at.mount));
  const size_t own = plan.going().size();
  plan.add_copies();
  going = plan.going();
  if (!(flags & MNT_DETACH)) {
    // ... and the copies by the two lists of ours.
    for (size_t i = own; i < going.size(); i++) {
      if (going[i]->children_.empty() && going[i]->ref_count() > 4) return Err(EBUSY);
    }
  }
  for (const auto& gone : going) {
    // What covers it and stays falls to where it stood.
    Ref<Mount> above = MountTree::child_at(*gone, *gone->root_);
    const Path place(gone->parent_, gone->mountpoint_);
    const bool stays = above && !plan.contains(above.get());
    if (stays) MountTree::unlink(*above, dropped);
    MountTree::unlink(*gone, dropped);
    if (stays && place) MountTree::link(above, place);
    gone->ns_->disown_locked(*gone);
    MountTree::set_type(*gone, MS_PRIVATE);
  }
  return {};
}

}  // namespace usk
