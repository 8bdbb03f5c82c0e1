#include "fs/overlay/overlay.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "fs/overlay/overlay_dir.h"
#include "fs/overlay/overlay_file.h"
#include "fs/vfs/saving.h"
#include "host/memory_size.h"

namespace usk {
namespace {

constexpr uint64_t kOverlayMagic = 0x794c7630;  // OVERLAYFS_SUPER_MAGIC

}  // namespace

USK_SAVED(OverlayFs, "fs/overlay/overlay")

std::optional<MemFs::Standing> OverlayFs::standing(MemInode& inode) {
  Lock lock(mu_);
  const Known* k = known_.find(inode.ino());
  if (!k || k->inode != &inode) return {};
  return Standing{k->parent, k->name, k->changed};
}

bool OverlayFs::restore_standing(MemInode& inode, Standing s) {
  if (!is_lower_ino(inode.ino())) return false;
  Lock lock(mu_);
  if (known_.find(inode.ino())) return false;
  add_known({&inode, {}, s.parent, std::move(s.name), s.changed});
  return true;
}

OverlayFs::Known& OverlayFs::add_known(Known known) {
  auto* fresh = new Known(std::move(known));
  known_.set(fresh->inode->ino(), fresh);
  return *fresh;
}

void OverlayFs::list_pins() {
  Lock lock(mu_);
  known_.for_each([&](Ino, const Known& k) {
    if (k.pin) pins_.push_back(k.pin);
  });
  std::ranges::sort(pins_, {}, [](const Ref<MemInode>& inode) { return inode->ino(); });
}

OrFailure<void> OverlayFs::restored(state::Restored& r) {
  TRY(MemFs::restored(r));
  Lock lock(mu_);
  for (Ref<MemInode>& pin : pins_) {
    Known* k = pin ? known_.find(pin->ino()) : nullptr;
    if (!k || k->inode != pin.get()) return fail("a change of nothing");
    k->pin = std::move(pin);
  }
  pins_.clear();
  return {};
}

OverlayFs::OverlayFs(Ref<MemQuota> quota)
    : MemFs("overlay", kOverlayMagic, std::move(quota), kFirstNew) {}

OverlayFs::~OverlayFs() {
  known_.for_each([](Ino, Known& k) { delete &k; });
}

// The private layer's: blocks that changes take, and one for its root, as a fresh file system has.
Result<FsStat> OverlayFs::statfs() {
  FsStat s = TRY(MemFs::statfs());
  if (s.bfree > 0) s.bfree--;
  s.bavail = s.bfree;
  return s;
}

Result<Ref<MemInode>> OverlayFs::make_node(NodeInit init) {
  if (!S_ISDIR(init.mode)) return MemFs::make_node(std::move(init));
  if (!quota()->charge_inode()) return Err(ENOSPC);
  return make_ref<OverlayDir>(Ref<OverlayFs>::share(this), next_ino(), init, true,
                              std::vector<Found>());
}

// The inode that stands for lower ones, with the topmost one's attributes.
Result<Ref<MemInode>> OverlayFs::make_standin(Ino ino, const std::vector<Found>& found) {
  auto self = Ref<OverlayFs>::share(this);
  const Ref<Inode>& top = found.front().inode;
  Attr a = TRY(top->getattr());
  NodeInit init{a.mode, a.uid, a.gid, a.rdev, {}};
  Ref<MemInode> node;
  switch (a.mode & S_IFMT) {
    case S_IFDIR:
      for (size_t i = 1; i < found.size(); i++) {
        const uint32_t more = TRY(found[i].inode->getattr()).nlink;
        if (more > 2) a.nlink += more - 2;
      }
      node = make_ref<OverlayDir>(self, ino, init, false, found);
      break;
    case S_IFREG: node = make_ref<OverlayRegular>(self, ino, init, top); break;
    case S_IFLNK:
      init.target = TRY(top->readlink());
      node = make_ref<MemSymlink>(self, ino, init, false);
      break;
    default: node = make_ref<MemInode>(self, ino, init, false);
  }
  node->adopt_attr(a);
  return node;
}

Result<Ref<MemInode>> OverlayFs::node_for(std::vector<Found> found, Ino parent,
                                          std::string_view name) {
  const Ino ino = ino_of(found.front().layer, found.front().inode->ino());
  auto known = [&]() -> Ref<MemInode> {
    Lock lock(mu_);
    const Known* k = known_.find(ino);
    if (!k || !k->inode->try_ref()) return {};
    return Ref<MemInode>::adopt(k->inode);
  };
  if (Ref<MemInode> inode = known()) return inode;
  Ref<MemInode> fresh = TRY(make_standin(ino, found));
  Lock lock(mu_);
  Known known_now{fresh.get(), {}, parent, std::string(name), false};
  // Somebody may have been quicker; or the last holder of an old one has just let go.
  if (Known* k = known_.find(ino)) {
    if (k->inode->try_ref()) return Ref<MemInode>::adopt(k->inode);
    *k = std::move(known_now);
  } else {
    add_known(std::move(known_now));
  }
  return fresh;
}

Result<void> OverlayFs::before_change(MemInode& inode) {
  if (!is_lower_ino(inode.ino())) return {};
  // With the directories it stands in: a change must be found from the root.
  Lock lock(mu_);
  Ino at = inode.ino();
  while (true) {
    Known* found = known_.find(at);
    if (!found) return {};
    Known& k = *found;
    if (at == inode.ino()) k.changed = true;
    // The root is held by those who see the file system; pinned, it would hold that for ever.
    if (k.pin || k.parent == at) return {};
    if (!quota()->charge_inode()) return Err(ENOSPC);
    if (!k.inode->try_ref()) {
      quota()->uncharge_inode();
      return {};
    }
    k.pin = Ref<MemInode>::adopt(k.inode);
    at = k.parent;
  }
}

void OverlayFs::placed(MemInode& inode, MemDir& parent, std::string_view name) {
  Lock lock(mu_);
  Known* k = known_.find(inode.ino());
  if (!k) return;
  k->parent = parent.ino();
  k->name = name;
}

void OverlayFs::links_gone(MemInode& inode) {
  Ref<MemInode> dropped;  // Let go after the lock.
  Lock lock(mu_);
  Known* k = known_.find(inode.ino());
  if (!k || !k->pin) return;
  dropped = std::move(k->pin);
  quota()->uncharge_inode();
}

void OverlayFs::forget(MemInode& inode) {
  Lock lock(mu_);
  Known* k = known_.find(inode.ino());
  if (!k || k->inode != &inode) return;
  known_.erase(inode.ino());
  delete k;
}

void OverlayFs::drop_pins() {
  std::vector<Ref<MemInode>> dropped;
  Lock lock(mu_);
  root_ = nullptr;
  known_.for_each([&](Ino, Known& k) {
    if (!k.pin) return;
    dropped.push_back(std::move(k.pin));
    quota()->uncharge_inode();
  });
}

void OverlayFs::settle() {
  Lock lock(mu_);
  known_.for_each([](Ino, Known& k) { k.changed = false; });
  settled_ino_ = last_ino();
}

// The changes among the names of one directory; directories to look into go to `pending`.
void OverlayFs::diff_dir(const DirToDiff& at, const std::unordered_multimap<Ino, Known>& pinned,
                         std::vector<OverlayChange>& out, std::vector<DirToDiff>& pending) const {
  using Kind = OverlayChange::Kind;
  std::set<std::string> listed;
  auto go_into = [&](const Ref<MemInode>& inode, const std::string& name) {
    // What is too deep for a path has no name to tell.
    Ref<OverlayDir> dir = ref_cast<OverlayDir>(inode);
    if (dir && at.path.size() < 4096) pending.push_back({std::move(dir), at.path + name + "/"});
  };
  for (const auto& [pos, e] : at.dir->entries(0, SIZE_MAX)) {
    const bool settled = !is_lower_ino(e.inode->ino()) && e.inode->ino() <= settled_ino_;
    if (!settled) {
      const auto below = at.dir->lower_has(e.name);
      out.push_back({below && *below ? Kind::kChanged : Kind::kAdded, at.path + e.name, e.inode});
    }
    listed.insert(e.name);
    go_into(e.inode, e.name);
  }
  for (const std::string& name : at.dir->removed_names()) {
    out.push_back({Kind::kDeleted, at.path + name, {}});
  }
  // What changed under its lower name. Its directory's entries would hide it.
  auto [first, last] = pinned.equal_range(at.dir->ino());
  for (auto it = first; it != last; ++it) {
    const Known& k = it->second;
    if (listed.contains(k.name) || k.pin == at.dir) continue;
    if (k.changed) out.push_back({Kind::kChanged, at.path + k.name, k.pin});
    go_into(k.pin, k.name);
  }
}

std::vector<OverlayChange> OverlayFs::diff() {
  std::unordered_multimap<Ino, Known> pinned;
  std::vector<DirToDiff> pending;
  {
    Lock lock(mu_);
    known_.for_each([&](Ino, const Known& k) {
      if (k.pin) pinned.emplace(k.parent, k);
    });
    if (root_ && root_->try_ref()) pending.push_back({Ref<OverlayDir>::adopt(root_), "/"});
  }
  std::vector<OverlayChange> out;
  while (!pending.empty()) {
    const DirToDiff at = std::move(pending.back());
    pending.pop_back();
    diff_dir(at, pinned, out, pending);
  }
  std::sort(out.begin(), out.end(),
            [](const OverlayChange& a, const OverlayChange& b) { return a.path < b.path; });
  return out;
}

namespace {

// Hides `path` in the tree below `root`; what is not there needs no hiding.
Result<void> hide(const Ref<MemInode>& root, std::string_view path) {
  Ref<Inode> at = root;
  while (true) {
    while (path.starts_with('/')) path.remove_prefix(1);
    const size_t slash = path.find('/');
    auto dir = ref_cast<OverlayDir>(at);
    if (!dir || path.empty()) return {};
    if (slash == std::string_view::npos) {
      TRY(dir->before_change());
      dir->hide(path);
      return {};
    }
    auto next = dir->lookup(path.substr(0, slash));
    if (failed_with(next, ENOENT)) return {};
    if (!next) return Err(next.error());
    at = *std::move(next);
    path.remove_prefix(slash);
  }
}

}  // namespace

Result<FsTree> make_overlay(std::vector<FsTree> lowers, const OverlayOptions& o,
                            Ref<MemQuota> above) {
  if (lowers.empty()) return Err(EINVAL);
  const uint64_t half = host::physical_memory() / 2 / 4096;
  auto quota = make_ref<MemQuota>(o.size_bytes ? (o.size_bytes + 4095) / 4096 : half,
                                  o.max_inodes ? o.max_inodes : half, std::move(above));
  auto fs = make_ref<OverlayFs>(std::move(quota));
  std::vector<OverlayFs::Found> roots;
  for (const FsTree& tree : lowers) {
    const Ref<Inode>& inode = tree.root->inode_ref();
    if (!inode->is_dir()) return Err(ENOTDIR);
    if (!inode->names_are_stable()) return Err(EINVAL);
    roots.push_back({roots.size(), inode});
  }
  const Ino ino = OverlayFs::ino_of(0, roots.front().inode->ino());
  Ref<MemInode> root = TRY(fs->node_for(std::move(roots), ino, "/"));
  auto& dir = static_cast<OverlayDir&>(*root);
  dir.become_root();
  fs->set_root(&dir);
  for (const std::string& path : o.hidden) TRY(hide(root, path));
  fs->settle();
  return FsTree{fs, Dentry::make_root(root)};
}

Result<std::vector<OverlayChange>> overlay_diff(FileSystem& fs) {
  auto* overlay = dynamic_cast<OverlayFs*>(&fs);
  if (!overlay) return Err(EINVAL);
  return overlay->diff();
}

}  // namespace usk
