// Peer groups, and whom a change reaches: mount_namespaces(7), "Shared subtrees".
#include <algorithm>

#include "base/id_counter.h"
#include "fs/vfs/mount_tree.h"

namespace usk {
namespace {

int next_group_id() {
  static IdCounter ids("peer group");
  return int(ids.next());
}

}  // namespace

PeerGroup::PeerGroup() : id_(next_group_id()) {}

void MountTree::join(Mount& mount, Ref<PeerGroup> group) {
  group->members.insert(&mount);
  mount.peers_ = std::move(group);
  mount.unbindable_ = false;
}

void MountTree::follow(Mount& mount, Ref<PeerGroup> master) {
  if (mount.master_) mount.master_->slaves.erase(&mount);
  if (master) master->slaves.insert(&mount);
  mount.master_ = std::move(master);
}

// The last one hands the group's slaves to the group's own master.
void MountTree::leave(Mount& mount) {
  const Ref<PeerGroup> group = std::move(mount.peers_);
  if (!group) return;
  group->members.erase(&mount);
  if (!group->members.empty()) return;
  const std::set<Mount*, ByMountId> orphans = std::move(group->slaves);
  group->slaves.clear();
  for (Mount* slave : orphans) {
    slave->master_.reset();
    if (mount.master_) follow(*slave, mount.master_);
  }
}

void MountTree::set_type(Mount& mount, unsigned long type) {
  if (type == MS_SHARED) {
    if (!mount.peers_) join(mount, make_ref<PeerGroup>());
    return;
  }
  if (const Ref<PeerGroup> group = mount.peers_) {
    leave(mount);
    // The last of a group stays with the master it had.
    if (type == MS_SLAVE && !group->members.empty()) follow(mount, group);
  }
  if (type == MS_SLAVE) return;
  follow(mount, {});
  mount.unbindable_ = type == MS_UNBINDABLE;
}

MountTree::Mounts MountTree::receivers(const Mount& mount) {
  Mounts out;
  if (!mount.peers_) return out;
  std::set<const PeerGroup*> seen = {mount.peers_.get()};
  std::vector<Ref<PeerGroup>> pending = {mount.peers_};
  auto add = [&](Mount* m) NO_THREAD_SAFETY_ANALYSIS {
    if (m != &mount && m->ns_ && m->try_ref()) out.push_back(Ref<Mount>::adopt(m));
  };
  for (size_t i = 0; i < pending.size(); i++) {
    const Ref<PeerGroup> group = pending[i];
    for (Mount* m : group->members) add(m);
    for (Mount* m : group->slaves) {
      if (!m->peers_) {
        add(m);
      } else if (seen.insert(m->peers_.get()).second) {
        pending.push_back(m->peers_);
      }
    }
  }
  return out;
}

// One group on the way down, and what the copies in it are members and slaves of: one entry for
// each mount of the tree.
struct MountTree::Group {
  Ref<PeerGroup> group;
  std::vector<Ref<PeerGroup>> peers, masters;
};

namespace {

// Does the mount show the place?
bool shows(const Mount& m, const Path& at) { return at.dentry->is_below_or_same(*m.root()); }

}  // namespace

Result<void> MountTree::copy_for(const Mounts& tree, const Path& place, const Group& groups,
                                 bool peers, std::vector<Copy>& out) {
  Copy c;
  c.at = place;
  c.tree = TRY(copy(Path(tree.front(), tree.front()->root_), {}));
  for (size_t i = 0; i < c.tree.size(); i++) {
    Mount& m = *c.tree[i];
    set_type(m, MS_PRIVATE);
    if (peers) {
      join(m, groups.peers[i]);
      follow(m, groups.masters[i]);
    } else {
      follow(m, groups.peers[i]);
    }
  }
  c.tree.front()->locked_ = false;
  out.push_back(std::move(c));
  return {};
}

// The copies for a group of slaves that share among themselves: a group of their own, which
// follows that of the copies above.
Result<MountTree::Group> MountTree::copy_for_group(const Mounts& tree, const Path& at,
                                                   const Group& above, PeerGroup& group,
                                                   std::vector<Copy>& out) {
  Group g{Ref<PeerGroup>::share(&group), {}, above.peers};
  for (size_t i = 0; i < tree.size(); i++) g.peers.push_back(make_ref<PeerGroup>());
  bool any = false;
  for (Mount* m : group.members) {
    if (!m->ns_ || !shows(*m, at)) continue;
    TRY(copy_for(tree, Path(Ref<Mount>::share(m), at.dentry), g, true, out));
    any = true;
  }
  if (any) return g;
  return Group{g.group, above.peers, above.masters};  // As if it were not there.
}

Result<void> MountTree::propagate(const Mounts& tree, const Path& at, std::vector<Copy>& out) {
  if (!at.mount->peers_) return {};
  Group top{at.mount->peers_, {}, {}};
  for (const auto& m : tree) {
    top.peers.push_back(m->peers_);
    top.masters.push_back(m->master_);
  }
  const std::set<Mount*, ByMountId> peers = top.group->members;
  for (Mount* m : peers) {
    if (m == at.mount.get() || !m->ns_ || !shows(*m, at)) continue;
    TRY(copy_for(tree, Path(Ref<Mount>::share(m), at.dentry), top, true, out));
  }
  std::set<const PeerGroup*> seen = {top.group.get()};
  std::vector<Group> pending = {std::move(top)};
  while (!pending.empty()) {
    const Group g = std::move(pending.back());
    pending.pop_back();
    const std::set<Mount*, ByMountId> slaves = g.group->slaves;
    for (Mount* m : slaves) {
      if (m->peers_) {
        if (!seen.insert(m->peers_.get()).second) continue;
        pending.push_back(TRY(copy_for_group(tree, at, g, *m->peers_, out)));
      } else if (m->ns_ && shows(*m, at)) {
        TRY(copy_for(tree, Path(Ref<Mount>::share(m), at.dentry), g, false, out));
      }
    }
  }
  return {};
}

Mount::Propagation Mount::propagation(const MountNamespace& ns, const Path& root) const {
  Propagation p;
  std::vector<Ref<Mount>> candidates;  // Members of the groups above, nearest first.
  std::vector<int> of;
  {
    Lock lock(mount_tree_mutex);
    p.peers = peers_ ? peers_->id() : 0;
    p.master = master_ ? master_->id() : 0;
    p.unbindable = unbindable_;
    for (Ref<PeerGroup> g = master_; g && !g->members.empty();) {
      for (Mount* m : g->members) {
        if (m->ns_ != &ns || !m->try_ref()) continue;
        candidates.push_back(Ref<Mount>::adopt(m));
        of.push_back(g->id());
      }
      g = (*g->members.begin())->master_;
    }
  }
  for (size_t i = 0; i < candidates.size() && !p.from; i++) {
    const Ref<Mount>& m = candidates[i];
    if (m == root.mount || PathText::of(Path(m, m->root()), root).reachable) p.from = of[i];
  }
  return p;
}

}  // namespace usk
