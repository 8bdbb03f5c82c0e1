#include "fs/mem/mem_inode.h"

#include <linux/capability.h>
#include <sys/xattr.h>

#include "fs/mem/mem_dir.h"
#include "fs/mem/mem_regular.h"
#include "fs/vfs/dir_file.h"
#include "fs/vfs/file_time.h"
#include "fs/vfs/mount.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/saving.h"
#include "fs/vfs/special_open.h"

namespace usk {

USK_SAVED(MemQuota, "fs/mem/quota")
USK_SAVED(MemInode, "fs/mem/inode")
USK_SAVED(MemSymlink, "fs/mem/symlink")

OrFailure<void> MemQuota::restored(state::Restored&) {
  constexpr int kMaxAbove = 8;
  int above = 0;
  for (const MemQuota* q = above_.get(); q; q = q->above_.get()) {
    if (++above > kMaxAbove) return fail("a quota above itself");
  }
  if (!above_) all_pages_ += pages_;
  return {};
}

OrFailure<void> MemFs::restored(state::Restored&) {
  if (!quota_) return fail("no quota");
  return {};
}

OrFailure<void> MemInode::restored(state::Restored& r) {
  {
    Lock lock(mu_);
    count_locked();
  }
  TRY(Inode::restored(r));
  return check_is<MemFs>(fs());
}

bool MemInode::restore_standing(MemFs::Standing standing) {
  auto* of = has_fs() ? dynamic_cast<MemFs*>(&fs()) : nullptr;
  return of && of->restore_standing(*this, std::move(standing));
}

MemInode::MemInode(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged)
    : Inode(fs, ino, init.mode), charged_(charged) {
  attr_.dev = fs->dev();
  attr_.ino = ino;
  attr_.mode = init.mode;
  attr_.nlink = 0;
  attr_.uid = init.uid;
  attr_.gid = init.gid;
  attr_.rdev = init.rdev;
  attr_.atime = attr_.mtime = attr_.ctime = attr_.btime = file_time();
  Lock lock(mu_);
  count_locked();
}

MemInode::~MemInode() {
  MemQuota::count_inodes(-int64_t(counted_));
  if (!has_fs()) return;
  MemQuota& quota = *mem_fs().quota();
  for (const auto& [name, value] : xattrs_) quota.uncharge_pages(xattr_pages(name, value));
  if (charged_) quota.uncharge_inode();
  for (; charged_names_ > 0; charged_names_--) quota.uncharge_inode();
}

void MemInode::count_locked() {
  const uint32_t all = charged_names_ + charged_;
  MemQuota::count_inodes(int64_t(all) - counted_);
  counted_ = all;
}

Result<void> MemInode::charge_name() {
  Lock lock(mu_);
  if (!mem_fs().quota()->charge_inode()) return Err(ENOSPC);
  charged_names_++;
  count_locked();
  return {};
}

void MemInode::uncharge_name() {
  Lock lock(mu_);
  if (charged_names_ == 0) return;
  charged_names_--;
  count_locked();
  mem_fs().quota()->uncharge_inode();
}

void MemInode::last_unref() {
  mem_fs().forget(*this);
  delete this;
}

void MemInode::adopt_attr(const Attr& attr) {
  Lock lock(mu_);
  const Dev dev = attr_.dev;
  attr_ = attr;
  attr_.dev = dev;
  attr_.ino = ino();
}

void MemInode::adopt_xattr(const std::string& name, std::string value) {
  Lock lock(mu_);
  // Counted even beyond the limit: it was there before the guest came.
  const uint64_t pages = xattr_pages(name, value);
  if (xattrs_.emplace(name, std::move(value)).second) mem_fs().quota()->force_pages(pages);
}

MemFs& MemInode::mem_fs() const { return static_cast<MemFs&>(fs()); }

Result<void> MemInode::charge_late() {
  Lock lock(mu_);
  if (charged_) return {};
  if (!mem_fs().quota()->charge_inode()) return Err(ENOSPC);
  charged_ = true;
  count_locked();
  return {};
}

Result<Attr> MemInode::getattr() {
  Lock lock(mu_);
  fill_size(attr_);
  return attr_;
}

Result<void> MemInode::permission(uint32_t may, const Creds& creds) {
  Ownership own;
  {
    Lock lock(mu_);
    own = {attr_.mode, attr_.uid, attr_.gid};
  }
  return check_mode_bits(own, may, creds);
}

Result<void> MemInode::setattr(const AttrChange& change) {
  TRY(before_change());
  if (change.set & AttrChange::kSize) TRY(resize(change.size));
  Lock lock(mu_);
  if (change.set & AttrChange::kMode) attr_.mode = type() | (change.mode & 07777);
  if (change.set & AttrChange::kUid) attr_.uid = change.uid;
  if (change.set & AttrChange::kGid) attr_.gid = change.gid;
  if (change.set & AttrChange::kAtime) attr_.atime = change.atime;
  if (change.set & AttrChange::kMtime) attr_.mtime = change.mtime;
  const timespec now = file_time();
  if (change.set & AttrChange::kAtimeNow) attr_.atime = now;
  if (change.set & AttrChange::kMtimeNow) attr_.mtime = now;
  attr_.ctime = now;
  return {};
}

Result<Ref<File>> MemInode::open(Path path, int flags, Ref<const Creds> creds) {
  if (is_symlink()) return Err(ELOOP);
  return open_special(*this, std::move(path), flags, std::move(creds));
}

uint64_t MemInode::xattr_pages(std::string_view name, std::string_view value) {
  return (name.size() + value.size()) / 4096 + 1;
}

Result<std::string> MemInode::getxattr(std::string_view name) {
  TRY(load_xattrs());
  Lock lock(mu_);
  auto it = xattrs_.find(name);
  if (it == xattrs_.end()) return Err(ENODATA);
  return it->second;
}

Result<void> MemInode::setxattr(std::string_view name, std::string_view value, int flags) {
  TRY(before_change());
  TRY(load_xattrs());
  Lock lock(mu_);
  auto it = xattrs_.find(name);
  if (it == xattrs_.end() && (flags & XATTR_REPLACE)) return Err(ENODATA);
  if (it != xattrs_.end() && (flags & XATTR_CREATE)) return Err(EEXIST);
  MemQuota& quota = *mem_fs().quota();
  if (!quota.charge_pages(xattr_pages(name, value))) return Err(ENOSPC);
  if (it != xattrs_.end()) {
    quota.uncharge_pages(xattr_pages(name, it->second));
    it->second = value;
  } else {
    xattrs_.emplace(name, value);
  }
  touch_locked(kTouchCtime);
  return {};
}

Result<std::vector<std::string>> MemInode::listxattr() {
  TRY(load_xattrs());
  std::vector<std::string> names;
  Lock lock(mu_);
  for (const auto& [name, value] : xattrs_) names.push_back(name);
  return names;
}

Result<void> MemInode::removexattr(std::string_view name) {
  TRY(before_change());
  TRY(load_xattrs());
  Lock lock(mu_);
  auto it = xattrs_.find(name);
  if (it == xattrs_.end()) return Err(ENODATA);
  mem_fs().quota()->uncharge_pages(xattr_pages(name, it->second));
  xattrs_.erase(it);
  touch_locked(kTouchCtime);
  return {};
}

void MemInode::change_links(int delta) {
  bool gone;
  {
    Lock lock(mu_);
    if (delta < 0 && (is_dir() || attr_.nlink < uint32_t(-delta))) {
      attr_.nlink = 0;  // A directory has one name; what it had below is gone.
    } else {
      attr_.nlink += uint32_t(delta);
    }
    gone = attr_.nlink == 0;
    touch_locked(kTouchCtime);
  }
  if (gone) mem_fs().links_gone(*this);
}

uint32_t MemInode::nlink() {
  Lock lock(mu_);
  return attr_.nlink;
}

void MemInode::touch(uint32_t what) {
  Lock lock(mu_);
  touch_locked(what);
}

void MemInode::touch_locked(uint32_t what) {
  const timespec now = file_time();
  if (what & kTouchAtime) attr_.atime = now;
  if (what & kTouchMtime) attr_.mtime = now;
  if (what & kTouchCtime) attr_.ctime = now;
}

void MemInode::touch_read(const File& file) {
  if (!wants_atime(file.path(), file.flags())) return;
  const timespec now = file_time();
  const bool strict = !file.path().mount->has(MS_RELATIME);
  Lock lock(mu_);
  if (strict || atime_is_stale(attr_, now)) attr_.atime = now;
}

void MemInode::drop_privileges_on_write(const Creds& creds) {
  Lock lock(mu_);
  if (!(attr_.mode & (S_ISUID | S_ISGID)) || creds.capable(CAP_FSETID)) return;
  attr_.mode &= ~uint32_t(S_ISUID);
  // Without group execution the bit means something else: mandatory locking, once.
  if (attr_.mode & S_IXGRP) attr_.mode &= ~uint32_t(S_ISGID);
}

MemSymlink::MemSymlink(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged)
    : MemInode(std::move(fs), ino, init, charged), target_(init.target) {
  attr_.size = target_.size();
}

}  // namespace usk
