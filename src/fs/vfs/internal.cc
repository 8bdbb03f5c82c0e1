#include "fs/vfs/internal.h"

#include "fs/vfs/file_time.h"
#include "fs/vfs/saving.h"

namespace usk {

USK_SAVED(InternalInode, "fs/vfs/internal-inode")

Result<FsStat> InternalFs::statfs() {
  FsStat st;
  st.type = magic_;
  return st;
}

InternalInode::InternalInode(Ref<FileSystem> fs, Ino ino_number, uint32_t mode, const Creds& owner)
    : Inode(fs, ino_number, mode & S_IFMT) {
  attr_.dev = fs->dev();
  attr_.ino = ino();
  attr_.mode = mode;
  attr_.uid = owner.fsuid;
  attr_.gid = owner.fsgid;
  attr_.atime = attr_.mtime = attr_.ctime = attr_.btime = file_time();
}

Result<Attr> InternalInode::getattr() {
  Lock lock(mu_);
  return attr_;
}

Result<void> InternalInode::setattr(const AttrChange& change) {
  if (change.set & AttrChange::kSize) return Err(EINVAL);
  const timespec now = file_time();
  Lock lock(mu_);
  if (change.set & AttrChange::kMode) attr_.mode = type() | (change.mode & 07777);
  if (change.set & AttrChange::kUid) attr_.uid = change.uid;
  if (change.set & AttrChange::kGid) attr_.gid = change.gid;
  if (change.set & AttrChange::kAtime) attr_.atime = change.atime;
  if (change.set & AttrChange::kMtime) attr_.mtime = change.mtime;
  if (change.set & AttrChange::kAtimeNow) attr_.atime = now;
  if (change.set & AttrChange::kMtimeNow) attr_.mtime = now;
  attr_.ctime = now;
  return {};
}

Ino InternalFs::next_ino() { return last_ino_.fetch_add(1, std::memory_order_relaxed) + 1; }

Ref<Mount> InternalFs::mount() {
  std::call_once(mount_once_, [this] {
    if (mount_) return;  // It was loaded.
    auto self = Ref<InternalFs>::share(this);
    auto root = make_ref<InternalInode>(self, next_ino(), S_IFDIR | 0555, Creds());
    mount_ = Mount::make({self, Dentry::make_root(std::move(root))}, 0, type());
  });
  return mount_;
}

Path internal_path(Ref<InternalInode> inode, std::string name) {
  Ref<Mount> mount = static_cast<InternalFs&>(inode->fs()).mount();
  return Path(std::move(mount), Dentry::make_anonymous(std::move(inode), std::move(name)));
}

}  // namespace usk
