// Files that no directory names: pipes, sockets, eventfds and their like.
#pragma once
#include <mutex>
#include <string>

#include "base/fields.h"
#include "base/lock.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"

namespace usk {

// The file system of such files: pipefs, sockfs, anon_inodefs. Never mounted by the guest.
class InternalFs final : public FileSystem {
 public:
  InternalFs(std::string type, uint64_t magic) : FileSystem(std::move(type)), magic_(magic) {}
  explicit InternalFs(Blank b) : FileSystem(b), magic_(0) {}
  Result<FsStat> statfs() override;
  // Where its files stand; attached to no namespace.
  Ref<Mount> mount();
  Ino next_ino();
  USK_FIELDS_OF(FileSystem, magic_, mount_, last_ino_)

 private:
  uint64_t magic_;
  std::once_flag mount_once_;
  Ref<Mount> mount_;
  std::atomic<Ino> last_ino_{0};
};

// An inode with attributes and nothing else. Owned by the file-system ids of who made it.
class InternalInode : public Inode {
 public:
  InternalInode(Ref<InternalFs> fs, uint32_t mode, const Creds& owner)
      : InternalInode(fs, fs->next_ino(), mode, owner) {}
  InternalInode(Ref<FileSystem> fs, Ino ino, uint32_t mode, const Creds& owner);
  explicit InternalInode(Blank b) : Inode(b) {}

  Result<Attr> getattr() override EXCLUDES(mu_);
  Result<void> setattr(const AttrChange& change) override EXCLUDES(mu_);

  USK_FIELDS_OF(Inode, attr_)

 private:
  Mutex<Rank::kInode> mu_;
  Attr attr_ GUARDED_BY(mu_);
};

// The place of such a file: outside every mount namespace, shown as `name` ("pipe:[12]").
Path internal_path(Ref<InternalInode> inode, std::string name);

}  // namespace usk
