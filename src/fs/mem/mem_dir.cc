#include "fs/mem/mem_dir.h"

#include <linux/capability.h>
#include <linux/fs.h>

#include "base/check.h"
#include "fs/vfs/dir.h"
#include "fs/vfs/dir_file.h"
#include "fs/vfs/saving.h"

namespace usk {

MemDir::MemDir(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged)
    : MemInode(std::move(fs), ino, init, charged) {}

USK_SAVED(MemDir, "fs/mem/dir")
USK_SAVED(MemDirFile, "fs/mem/dir-file")

OrFailure<void> MemDir::restored(state::Restored& r) {
  TRY(MemInode::restored(r));
  if (!is_dir()) return fail("a directory that is none");
  Lock lock(mu_);
  for (const auto& [pos, e] : entries_) {
    if (!e.inode || pos >= next_pos_) return fail("an entry that cannot be");
    if (!by_name_.emplace(e.name, pos).second) return fail("a name that comes twice");
  }
  return {};
}

OrFailure<void> MemDirFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return check_inode<MemDir>(*this);
}

MemDir::~MemDir() {
  std::vector<Ref<MemInode>> children;
  for (auto& [pos, e] : entries_) children.push_back(std::move(e.inode));
  let_go(std::move(children));
}

// Trees may be as deep as a guest likes: directories that die within are queued, not nested.
void MemDir::let_go(std::vector<Ref<MemInode>> children) {
  static thread_local std::vector<Ref<MemInode>>* pending = nullptr;
  if (pending) {
    for (auto& c : children) pending->push_back(std::move(c));
    return;
  }
  pending = &children;
  while (!children.empty()) {
    Ref<MemInode> last = std::move(children.back());
    children.pop_back();
    last.reset();
  }
  pending = nullptr;
}

Ref<MemInode> MemDir::find_locked(std::string_view name) const {
  auto it = by_name_.find(name);
  return it == by_name_.end() ? Ref<MemInode>() : entries_.at(it->second).inode;
}

void MemDir::insert_locked(std::string_view name, Ref<MemInode> inode) {
  const uint64_t pos = next_pos_++;
  Entry& e = entries_.emplace(pos, Entry{std::string(name), std::move(inode)}).first->second;
  CHECK(by_name_.emplace(e.name, pos).second);
  attr_.size = entries_.size() * 20;  // Linux: BOGO_DIRENT_SIZE.
}

Ref<MemInode> MemDir::erase_locked(std::string_view name) {
  auto it = by_name_.find(name);
  if (it == by_name_.end()) return {};
  const uint64_t pos = it->second;
  by_name_.erase(it);
  Ref<MemInode> inode = std::move(entries_.at(pos).inode);
  entries_.erase(pos);
  attr_.size = entries_.size() * 20;
  return inode;
}

void MemDir::count_subdir_locked(int delta) {
  // Below two the count is not known (some host file systems), and stays so.
  if (attr_.nlink >= 2) attr_.nlink = uint32_t(std::max(2, int(attr_.nlink) + delta));
}

Result<Ref<Inode>> MemDir::lookup(std::string_view name) {
  Lock lock(mu_);
  Ref<MemInode> inode = find_locked(name);
  if (!inode) return Err(ENOENT);
  return inode;
}

// Owners and mode of a new child: inode(7) on set-group-ID directories.
NodeInit MemDir::child_init(uint32_t mode, Dev rdev, const Creds& owner) {
  NodeInit init{mode, owner.fsuid, owner.fsgid, rdev, {}};
  Lock lock(mu_);
  if (!(attr_.mode & S_ISGID)) return init;
  init.gid = attr_.gid;
  if (S_ISDIR(mode)) {
    init.mode |= S_ISGID;
  } else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !owner.in_group(attr_.gid) &&
             !owner.capable(CAP_FSETID)) {
    init.mode &= ~uint32_t(S_ISGID);
  }
  return init;
}

Result<void> MemDir::put(std::string_view name, Ref<MemInode> inode) {
  const bool is_dir = inode->is_dir();
  {
    Lock lock(mu_);
    if (dead_) return Err(ENOENT);
    if (find_locked(name)) return Err(EEXIST);
    insert_locked(name, inode);
    touch_locked(kTouchMtime | kTouchCtime);
    if (is_dir) count_subdir_locked(1);
  }
  inode->change_links(is_dir ? 2 : 1);
  mem_fs().placed(*inode, *this, name);
  return {};
}

Result<Ref<Inode>> MemDir::add_new(std::string_view name, NodeInit init) {
  TRY(before_change());
  Ref<MemInode> inode = TRY(mem_fs().make_node(std::move(init)));
  TRY(put(name, inode));
  return inode;
}

Result<Ref<Inode>> MemDir::mknod(std::string_view name, uint32_t mode, Dev rdev,
                                 const Creds& owner) {
  return add_new(name, child_init(mode, rdev, owner));
}

Result<Ref<Inode>> MemDir::symlink(std::string_view name, std::string_view target,
                                   const Creds& owner) {
  if (target.size() >= 4096) return Err(ENAMETOOLONG);
  NodeInit init = child_init(S_IFLNK | 0777, 0, owner);
  init.target = target;
  return add_new(name, std::move(init));
}

Result<Ref<Inode>> MemDir::tmpfile(uint32_t mode, const Creds& owner) {
  return TRY(mem_fs().make_node(child_init(mode, 0, owner)));
}

Result<void> MemDir::link(std::string_view name, Inode& target) {
  if (&target.fs() != &fs()) return Err(EXDEV);
  auto node = Ref<MemInode>::share(dynamic_cast<MemInode*>(&target));
  CHECK(node);
  TRY(before_change());
  // Linux: each further name counts as an inode, for it takes memory too.
  const bool first = node->nlink() == 0;
  if (!first) TRY(node->charge_name());
  if (auto r = put(name, node); !r) {
    if (!first) node->uncharge_name();
    return r;
  }
  return {};
}

Result<void> MemDir::unlink(std::string_view name, Inode& victim) {
  TRY(before_change());
  // Its other names are to know of the change. One without needs no room to say that it is gone.
  auto& node = static_cast<MemInode&>(victim);
  if (node.nlink() > 1) TRY(node.before_change());
  Ref<MemInode> gone;
  {
    Lock lock(mu_);
    gone = erase_locked(name);
    if (!gone) gone = Ref<MemInode>::share(&node);
    touch_locked(kTouchMtime | kTouchCtime);
  }
  gone->change_links(-1);
  if (gone->nlink() > 0) gone->uncharge_name();
  return {};
}

Result<void> MemDir::kill_if_empty() {
  Lock lock(mu_);
  if (!entries_.empty()) return Err(ENOTEMPTY);
  dead_ = true;
  return {};
}

Result<void> MemDir::rmdir(std::string_view name, Inode& victim) {
  TRY(before_change());
  auto* dir = dynamic_cast<MemDir*>(&victim);
  if (!dir) return Err(ENOTDIR);
  TRY(dir->kill_if_empty());
  Ref<MemInode> gone;
  {
    Lock lock(mu_);
    gone = erase_locked(name);
    count_subdir_locked(-1);
    touch_locked(kTouchMtime | kTouchCtime);
  }
  dir->change_links(-2);
  return {};
}

Result<void> MemDir::exchange(std::string_view name, MemInode& source, MemDir& other,
                              std::string_view other_name, MemInode& target) {
  LockBoth lock(mu_, other.mu_);
  Ref<MemInode> a = erase_locked(name);
  Ref<MemInode> b = other.erase_locked(other_name);
  if (!a) a = Ref<MemInode>::share(&source);
  if (!b) b = Ref<MemInode>::share(&target);
  count_subdir_locked(int(b->is_dir()) - int(a->is_dir()));
  other.count_subdir_locked(int(a->is_dir()) - int(b->is_dir()));
  insert_locked(name, std::move(b));
  other.insert_locked(other_name, std::move(a));
  touch_locked(kTouchMtime | kTouchCtime);
  other.touch_locked(kTouchMtime | kTouchCtime);
  return {};
}

Result<void> MemDir::rename(std::string_view name, Inode& source, Inode& new_dir,
                            std::string_view new_name, Inode* target, uint32_t flags) {
  auto* to = dynamic_cast<MemDir*>(&new_dir);
  auto* moved = dynamic_cast<MemInode*>(&source);
  auto* over = dynamic_cast<MemInode*>(target);
  if (!to || !moved || &to->fs() != &fs()) return Err(EXDEV);
  TRY(before_change());
  TRY(to->before_change());
  TRY(moved->before_change());
  if (flags & RENAME_EXCHANGE) {
    TRY(over->before_change());
    TRY(exchange(name, *moved, *to, new_name, *over));
    moved->touch(kTouchCtime);
    over->touch(kTouchCtime);
    mem_fs().placed(*moved, *to, new_name);
    mem_fs().placed(*over, *this, name);
    return {};
  }
  Ref<MemInode> whiteout;
  if (flags & RENAME_WHITEOUT) {
    whiteout = TRY(mem_fs().make_node({.mode = S_IFCHR, .uid = 0, .gid = 0}));
    whiteout->change_links(1);
  }
  auto* over_dir = dynamic_cast<MemDir*>(over);
  if (over && !over_dir && over->nlink() > 1) TRY(over->before_change());
  if (over_dir) TRY(over_dir->kill_if_empty());
  Ref<MemInode> gone;
  {
    LockBoth lock(mu_, to->mu_);
    gone = to->erase_locked(new_name);
    Ref<MemInode> inode = erase_locked(name);
    if (!inode) inode = Ref<MemInode>::share(moved);
    to->insert_locked(new_name, std::move(inode));
    if (whiteout) insert_locked(name, whiteout);
    if (moved->is_dir()) {
      count_subdir_locked(-1);
      to->count_subdir_locked(1);
    }
    if (over_dir) to->count_subdir_locked(-1);
    touch_locked(kTouchMtime | kTouchCtime);
    if (to != this) to->touch_locked(kTouchMtime | kTouchCtime);
  }
  moved->touch(kTouchCtime);
  mem_fs().placed(*moved, *to, new_name);
  if (over) {
    over->change_links(over_dir ? -2 : -1);
    if (!over_dir && over->nlink() > 0) over->uncharge_name();
  }
  return {};
}

Result<Ref<File>> MemDir::open(Path path, int flags, Ref<const Creds> creds) {
  return make_ref<MemDirFile>(std::move(path), flags, std::move(creds));
}

std::vector<std::pair<uint64_t, MemDir::Entry>> MemDir::entries(uint64_t pos, size_t max) {
  std::vector<std::pair<uint64_t, Entry>> out;
  Lock lock(mu_);
  for (auto it = entries_.lower_bound(pos); it != entries_.end() && out.size() < max; ++it) {
    out.emplace_back(it->first, it->second);
  }
  return out;
}

Result<void> MemDirFile::read_dir(DirSink& sink, uint64_t& pos) {
  constexpr size_t kBatch = 64;  // Entries go out without the directory's lock.
  if (!emit_dots(path(), sink, pos)) return {};
  auto& dir = static_cast<MemDir&>(inode());
  while (true) {
    const auto batch = dir.entries(pos, kBatch);
    for (const auto& [at, e] : batch) {
      const auto type = uint8_t(e.inode->type() >> 12);  // DT_* is S_IF* shifted.
      if (!sink.emit(e.name, e.inode->ino(), type, at + 1)) return {};
      pos = at + 1;
    }
    if (batch.size() < kBatch) break;
  }
  dir.touch_read(*this);
  return {};
}

}  // namespace usk
