#include "fs/mem/mem_fs.h"

#include "fs/mem/mem_dir.h"
#include "fs/mem/mem_inode.h"
#include "fs/mem/mem_regular.h"

namespace usk {

Result<FsStat> MemFs::statfs() {
  FsStat s;
  s.type = magic_;
  s.blocks = quota_->max_pages();
  s.bfree = s.bavail = s.blocks ? s.blocks - std::min(s.blocks, quota_->pages()) : 0;
  s.files = quota_->max_inodes();
  s.ffree = s.files ? s.files - std::min(s.files, quota_->inodes()) : 0;
  s.fsid = dev();
  return s;
}

Result<Ref<MemInode>> MemFs::make_node(NodeInit init) {
  if (!quota_->charge_inode()) return Err(ENOSPC);
  auto self = Ref<MemFs>::share(this);
  const Ino ino = next_ino();
  switch (init.mode & S_IFMT) {
    case S_IFDIR: return make_ref<MemDir>(std::move(self), ino, init, true);
    case S_IFREG: return make_ref<MemRegular>(std::move(self), ino, init, true);
    case S_IFLNK: return make_ref<MemSymlink>(std::move(self), ino, init, true);
    default: return make_ref<MemInode>(std::move(self), ino, init, true);
  }
}

}  // namespace usk
