// Inodes that live in memory.
#pragma once
#include <map>
#include <string>

#include "base/fields.h"
#include "base/lock.h"
#include "fs/mem/mem_fs.h"
#include "fs/vfs/inode.h"

namespace usk {

// Attributes and extended attributes of any kind of file. Each inode, each name beyond its first
// and each xattr is charged to the file system's quota.
class MemInode : public Inode {
 public:
  MemInode(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged);
  explicit MemInode(Blank b) : Inode(b), charged_(false) {}
  ~MemInode() override;

  MemFs& mem_fs() const;
  Result<Attr> getattr() override EXCLUDES(mu_);
  Result<void> setattr(const AttrChange& change) override EXCLUDES(mu_);
  Result<void> permission(uint32_t may, const Creds& creds) override EXCLUDES(mu_);
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;

  Result<std::string> getxattr(std::string_view name) override EXCLUDES(mu_);
  Result<void> setxattr(std::string_view name, std::string_view value, int flags) override
      EXCLUDES(mu_);
  Result<std::vector<std::string>> listxattr() override EXCLUDES(mu_);
  Result<void> removexattr(std::string_view name) override EXCLUDES(mu_);

  // A name came or went (two for a directory's own). Keeps nlink, ctime.
  void change_links(int delta) EXCLUDES(mu_);
  uint32_t nlink() EXCLUDES(mu_);
  // A further name counts as an inode: ENOSPC. Names that a layer below gave it were not counted.
  Result<void> charge_name() EXCLUDES(mu_);
  void uncharge_name() EXCLUDES(mu_);
  // What changed now.
  enum : uint32_t { kTouchAtime = 1, kTouchMtime = 2, kTouchCtime = 4 };
  void touch(uint32_t what) EXCLUDES(mu_);
  // After a read through `file`: the access time, as its mount's options say.
  void touch_read(const File& file) EXCLUDES(mu_);
  // A write by someone without CAP_FSETID takes set-user-ID and set-group-ID away.
  void drop_privileges_on_write(const Creds& creds) EXCLUDES(mu_);

  // Called before each change of the inode, with no lock held.
  Result<void> before_change() { return mem_fs().before_change(*this); }
  // Takes over attributes of an inode that this one stands for, all but its number and device.
  void adopt_attr(const Attr& attr) EXCLUDES(mu_);

  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    ar.template base<Inode>("Inode", *this);
    std::optional<MemFs::Standing> standing;
    if constexpr (SavesState<A>) standing = mem_fs().standing(*this);
    ar.all("attr_, xattrs_, charged_, charged_names_, standing", attr_, xattrs_, charged_,
           charged_names_, standing);
    if constexpr (A::kLoading) {
      if (standing && !ar.failed() && !restore_standing(*std::move(standing))) {
        ar.fail("an inode that stands for what it cannot");
      }
    }
  }
  OrFailure<void> restored(state::Restored& r);

 protected:
  // Before xattrs are looked at: an overlay fetches those of the layer below.
  virtual Result<void> load_xattrs() { return {}; }
  void adopt_xattr(const std::string& name, std::string value) EXCLUDES(mu_);
  void last_unref() override;
  // Size and blocks, where they are not in attr_.
  virtual void fill_size(Attr& attr) REQUIRES(mu_) {}
  virtual Result<void> resize(uint64_t size) EXCLUDES(mu_) { return Err(EINVAL); }
  // The quota's count for this inode, when it was not charged at birth.
  Result<void> charge_late() EXCLUDES(mu_);
  void touch_locked(uint32_t what) REQUIRES(mu_);

  Mutex<Rank::kInode> mu_;
  Attr attr_ GUARDED_BY(mu_);

 private:
  bool restore_standing(MemFs::Standing standing);
  void count_locked() REQUIRES(mu_);
  static uint64_t xattr_pages(std::string_view name, std::string_view value);

  std::map<std::string, std::string, std::less<>> xattrs_ GUARDED_BY(mu_);
  bool charged_ GUARDED_BY(mu_);
  uint32_t charged_names_ GUARDED_BY(mu_) = 0;
  uint32_t counted_ GUARDED_BY(mu_) = 0;  // Of both, by MemQuota::count_inodes().
};

class MemSymlink final : public MemInode {
 public:
  MemSymlink(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged);
  explicit MemSymlink(Blank b) : MemInode(b) {}
  Result<std::string> readlink() override { return target_; }
  USK_FIELDS_OF(MemInode, target_)

 private:
  std::string target_;
};

}  // namespace usk
