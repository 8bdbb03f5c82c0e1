// What file systems whose files live in memory share: tmpfs, the overlay's upper layer, memfd.
#pragma once
#include <atomic>
#include <optional>

#include "base/fields.h"
#include "fs/mem/quota.h"
#include "fs/vfs/file_system.h"

namespace usk {

class MemDir;
class MemInode;

// How a new inode begins.
struct NodeInit {
  uint32_t mode = 0;  // With its type.
  Uid uid = 0;
  Gid gid = 0;
  Dev rdev = 0;
  std::string target;  // Of a symbolic link.
};

class MemFs : public FileSystem {
 public:
  MemFs(std::string type, uint64_t magic, Ref<MemQuota> quota, Ino first_ino = 1)
      : FileSystem(std::move(type)),
        magic_(magic),
        quota_(std::move(quota)),
        next_ino_(first_ino) {}

  explicit MemFs(Blank b) : FileSystem(b), magic_(0), next_ino_(0) {}

  const Ref<MemQuota>& quota() const { return quota_; }
  Result<FsStat> statfs() override;
  Ino next_ino() { return next_ino_.fetch_add(1); }
  Ino last_ino() const { return next_ino_.load() - 1; }
  // A fresh inode with no links, charged to the quota: ENOSPC.
  virtual Result<Ref<MemInode>> make_node(NodeInit init);

  // What an overlay wants to know of its inodes. Called with no lock held: before a change of
  // anything about `inode`; when it stands at a new name; when its last name went; when it dies.
  virtual Result<void> before_change(MemInode& inode) { return {}; }
  virtual void placed(MemInode& inode, MemDir& parent, std::string_view name) {}
  virtual void links_gone(MemInode& inode) {}
  virtual void forget(MemInode& inode) {}

  // What an overlay knows of an inode beyond what it says itself.
  struct Standing {
    Ino parent = 0;
    std::string name;
    bool changed = false;
    USK_FIELDS(parent, name, changed)
  };
  virtual std::optional<Standing> standing(MemInode& inode) { return {}; }
  // Of a loaded inode; false: it cannot be.
  virtual bool restore_standing(MemInode& inode, Standing standing) { return false; }

  USK_FIELDS_OF(FileSystem, magic_, quota_, next_ino_)
  OrFailure<void> restored(state::Restored&);
  bool is_whole() const { return bool(quota_); }

 private:
  uint64_t magic_;
  Ref<MemQuota> quota_;
  std::atomic<Ino> next_ino_;
};

}  // namespace usk
