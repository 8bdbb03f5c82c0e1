#include "fs/overlay/overlay_dir.h"

#include <linux/fs.h>

#include "fs/vfs/saving.h"

namespace usk {
namespace {

// Layers made by container tools say that a name is absent by a character device 0:0.
Result<bool> is_whiteout(Inode& inode) {
  if (inode.type() != S_IFCHR) return false;
  return TRY(inode.getattr()).rdev == 0;
}

// ... and that a directory does not show what lies below it by an xattr.
bool is_opaque(Inode& dir) {
  auto v = dir.getxattr("trusted.overlay.opaque");
  return v && *v == "y";
}

class CollectSink final : public DirSink {
 public:
  bool emit(std::string_view name, Ino ino, uint8_t type, uint64_t) override {
    if (name != "." && name != "..") entries.push_back({std::string(name), ino, type});
    return true;
  }
  std::vector<DirEntry> entries;
};

Result<std::vector<DirEntry>> list_lower(const Ref<Inode>& dir) {
  Path place({}, Dentry::make_anonymous(dir, ""));
  Ref<File> file = TRY(dir->open(std::move(place), O_RDONLY | O_DIRECTORY, {}));
  CollectSink sink;
  uint64_t pos = 0;
  TRY(file->read_dir(sink, pos));
  return std::move(sink.entries);
}

class OverlayDirFile final : public SnapshotDirFile {
 public:
  using SnapshotDirFile::SnapshotDirFile;
  USK_FIELDS_OF(SnapshotDirFile)
  OrFailure<void> restored(state::Restored& r) {
    TRY(File::restored(r));
    return check_inode<OverlayDir>(*this);
  }

 protected:
  Result<std::vector<DirEntry>> list() override {
    auto& dir = static_cast<OverlayDir&>(inode());
    dir.touch_read(*this);
    return dir.list();
  }
};

}  // namespace

USK_SAVED(OverlayDir, "fs/overlay/dir")
USK_SAVED(OverlayDirFile, "fs/overlay/dir-file")

OrFailure<void> OverlayDir::restored(state::Restored& r) {
  TRY(MemDir::restored(r));
  for (const OverlayFs::Found& lower : lowers_) {
    if (!lower.inode || !lower.inode->is_dir()) return fail("a layer that has no directory");
  }
  return check_is<OverlayFs>(fs());
}

OverlayDir::OverlayDir(Ref<OverlayFs> fs, Ino ino, const NodeInit& init, bool charged,
                       std::vector<OverlayFs::Found> lowers)
    : MemDir(std::move(fs), ino, init, charged), lowers_(std::move(lowers)) {}

void OverlayDir::last_unref() {
  if (is_root_) overlay().drop_pins();
  MemDir::last_unref();
}

Result<std::vector<OverlayFs::Found>> OverlayDir::find_lower(std::string_view name) {
  std::vector<OverlayFs::Found> found;
  for (const auto& lower : lowers_) {
    Result<Ref<Inode>> r = lower.inode->lookup(name);
    if (failed_with(r, ENOENT)) continue;
    if (!r) return Err(r.error());
    if (TRY(is_whiteout(**r))) break;
    const bool is_dir = (*r)->is_dir();
    if (!is_dir && !found.empty()) break;  // A directory above hides it.
    found.push_back({lower.layer, *r});
    if (!is_dir) break;
    if (&lower != &lowers_.back() && is_opaque(**r)) break;
  }
  return found;
}

Result<bool> OverlayDir::lower_has(std::string_view name) { return !TRY(find_lower(name)).empty(); }

Result<Ref<Inode>> OverlayDir::lookup(std::string_view name) {
  {
    Lock lock(mu_);
    if (Ref<MemInode> inode = find_locked(name)) return inode;
    if (whiteouts_.contains(name) || hidden_.contains(name)) return Err(ENOENT);
  }
  if (lowers_.empty()) return Err(ENOENT);
  std::vector<OverlayFs::Found> found = TRY(find_lower(name));
  if (found.empty()) return Err(ENOENT);
  return TRY(overlay().node_for(std::move(found), ino(), name));
}

void OverlayDir::remove_whiteout(std::string_view name) {
  Lock lock(mu_);
  if (auto it = whiteouts_.find(name); it != whiteouts_.end()) whiteouts_.erase(it);
}

void OverlayDir::hide(std::string_view name) {
  Lock lock(mu_);
  hidden_.emplace(name);
}

// A whiteout, only where there is something to hide: their number stays that of lower names.
Result<bool> OverlayDir::whiteout_if_lower(std::string_view name) {
  if (!TRY(lower_has(name))) return false;
  Lock lock(mu_);
  return !hidden_.contains(name) && whiteouts_.emplace(name).second;
}

Result<void> OverlayDir::unlink(std::string_view name, Inode& victim) {
  const bool fresh = TRY(whiteout_if_lower(name));
  auto done = MemDir::unlink(name, victim);
  if (!done && fresh) remove_whiteout(name);
  return done;
}

Result<void> OverlayDir::rmdir(std::string_view name, Inode& victim) {
  const bool fresh = TRY(whiteout_if_lower(name));
  auto done = MemDir::rmdir(name, victim);
  if (!done && fresh) remove_whiteout(name);
  return done;
}

Result<void> OverlayDir::rename(std::string_view name, Inode& source, Inode& new_dir,
                                std::string_view new_name, Inode* target, uint32_t flags) {
  const bool fresh = TRY(whiteout_if_lower(name));
  auto done = MemDir::rename(name, source, new_dir, new_name, target, flags);
  if (!done && fresh) remove_whiteout(name);
  return done;
}

Result<std::vector<DirEntry>> OverlayDir::lower_list() {
  std::vector<DirEntry> out;
  std::set<std::string, std::less<>> seen;
  for (const auto& lower : lowers_) {
    for (DirEntry& e : TRY(list_lower(lower.inode))) {
      if (lowers_.size() > 1) {
        if (!seen.insert(e.name).second) continue;
        if (e.type == (S_IFCHR >> 12) && TRY(is_whiteout(*TRY(lower.inode->lookup(e.name))))) {
          continue;
        }
      }
      e.ino = OverlayFs::ino_of(lower.layer, e.ino);
      out.push_back(std::move(e));
    }
  }
  return out;
}

bool OverlayDir::absent_locked(const std::string& name) const {
  return whiteouts_.contains(name) || hidden_.contains(name);
}

Result<std::vector<DirEntry>> OverlayDir::list() {
  std::vector<DirEntry> below = TRY(lower_list());
  std::vector<DirEntry> out;
  for (const auto& [pos, e] : entries(0, SIZE_MAX)) {
    out.push_back({e.name, e.inode->ino(), uint8_t(e.inode->type() >> 12)});
  }
  Lock lock(mu_);
  if (out.empty() && whiteouts_.empty() && hidden_.empty()) return below;
  for (DirEntry& e : below) {
    if (!absent_locked(e.name) && !find_locked(e.name)) out.push_back(std::move(e));
  }
  return out;
}

Result<void> OverlayDir::kill_if_empty() {
  // The layers below do not change, so the list stays right until the lock is taken.
  const std::vector<DirEntry> below = TRY(lower_list());
  {
    Lock lock(mu_);
    for (const DirEntry& e : below) {
      if (!absent_locked(e.name)) return Err(ENOTEMPTY);
    }
  }
  return MemDir::kill_if_empty();
}

std::vector<std::string> OverlayDir::removed_names() {
  std::vector<std::string> out;
  Lock lock(mu_);
  for (const std::string& name : whiteouts_) {
    if (!find_locked(name)) out.push_back(name);
  }
  return out;
}

Result<void> OverlayDir::load_xattrs() {
  if (lowers_.empty()) return {};
  return fetch_xattrs(*lowers_.front().inode, xattrs_loaded_,
                      [this](const std::string& name, std::string v) {
                        if (!name.starts_with("trusted.overlay.")) adopt_xattr(name, std::move(v));
                      });
}

Result<Ref<File>> OverlayDir::open(Path path, int flags, Ref<const Creds> creds) {
  if (lowers_.empty()) return MemDir::open(std::move(path), flags, std::move(creds));
  return make_ref<OverlayDirFile>(std::move(path), flags, std::move(creds));
}

}  // namespace usk
