#include "fs/vfs/mount.h"

#include <algorithm>

#include "base/id_counter.h"

namespace usk {

Mutex<Rank::kMounts> mount_tree_mutex;

namespace {

int next_mount_id() {
  static IdCounter ids("mount", 21);
  return int(ids.next());
}

}  // namespace

Ref<Mount> Mount::make(FsTree tree, unsigned long flags, std::string source) {
  auto m = Ref<Mount>::adopt(new Mount);
  m->id_ = next_mount_id();
  tree.fs->count_mount(1);
  m->fs_ = std::move(tree.fs);
  m->root_ = std::move(tree.root);
  m->source_ = std::move(source);
  m->flags_ = flags & kFlags;
  return m;
}

Mount::~Mount() {
  if (!fs_ || fs_->count_mount(-1) > 0) return;
  // The last mount of its file system: nobody walks it any more.
  Ref<Dentry> top = root_;
  while (Ref<Dentry> up = top->parent()) top = std::move(up);
  top->prune();
}

Result<void> Mount::check_writable() const {
  if (has(MS_RDONLY) || fs_->read_only()) return Err(EROFS);
  return {};
}

Path Mount::mountpoint() const {
  Lock lock(mount_tree_mutex);
  return parent_ ? Path(parent_, mountpoint_) : Path();
}

Ref<Mount> Mount::mounted_on(const Dentry& dentry) const {
  Lock lock(mount_tree_mutex);
  auto it = children_.find(&dentry);
  return it == children_.end() ? Ref<Mount>() : it->second;
}

Path top_of(Path path) {
  while (path.dentry->is_mountpoint()) {
    Ref<Mount> m = path.mount->mounted_on(*path.dentry);
    if (!m) break;
    Ref<Dentry> root = m->root();
    path = Path(std::move(m), std::move(root));
  }
  return path;
}

Path below_mounts(Path path) {
  while (path.dentry == path.mount->root()) {
    Path place = path.mount->mountpoint();
    if (!place) break;
    path = std::move(place);
  }
  return path;
}

PathText PathText::of(const Path& path, const Path& root) {
  PathText out;
  if (path.dentry->is_anonymous()) {
    out.text = path.dentry->name();
    return out;
  }
  out.deleted = path.dentry->deleted();
  std::vector<std::string> names;
  size_t length = 0;
  Ref<Dentry> d = path.dentry;
  Ref<Mount> m = path.mount;
  while (!(m == root.mount && d == root.dentry)) {
    if (m && d == m->root()) {
      Path place = m->mountpoint();
      if (!place) {
        out.reachable = false;
        break;
      }
      m = std::move(place.mount);
      d = std::move(place.dentry);
      continue;
    }
    Ref<Dentry> parent = d->parent();
    if (!parent) {
      out.reachable = false;
      break;
    }
    names.push_back(d->name());
    length += names.back().size() + 1;
    if (length >= 4096) {
      out.too_long = true;
      break;
    }
    d = std::move(parent);
  }
  for (auto it = names.rbegin(); it != names.rend(); ++it) out.text += "/" + *it;
  if (out.text.empty()) out.text = "/";
  return out;
}

}  // namespace usk
