// /dev/pts: devpts, pts(4).
#pragma once
#include <map>
#include <string_view>

#include "fs/tty/tty.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"

namespace usk {

class PtsInode;

struct DevPtsOptions {
  Uid uid = UINT32_MAX;  // UINT32_MAX: that of who opened the master.
  Gid gid = UINT32_MAX;
  uint32_t mode = 0600;
  uint32_t ptmxmode = 0;
  uint32_t max = 1u << 20;
  // Parses "gid=5,mode=620,ptmxmode=666,newinstance"; ids are those of `ns`. EINVAL.
  static Result<DevPtsOptions> parse(std::string_view text, const UserNamespace& ns);
  USK_FIELDS(uid, gid, mode, ptmxmode, max)
};

// The names of pseudo-terminals: a node for each that has a master, and ptmx. Every instance is
// its own (Linux: since 4.7 newinstance is implied).
class DevPts final : public FileSystem {
 public:
  // Linux: /proc/sys/kernel/pty/max, over all instances.
  static constexpr uint32_t kMaxTerminals = 4096;

  explicit DevPts(const DevPtsOptions& options);
  explicit DevPts(Blank b);
  Result<FsStat> statfs() override;
  std::string options() const override;
  Result<void> remount(std::string_view options) override EXCLUDES(mu_);

  // open(2) of a ptmx node that belongs to this instance, seen at `mount`. ENOSPC: too many
  // terminals.
  Result<Ref<File>> open_master(Ref<Mount> mount, Path path, int flags, Ref<const Creds> creds)
      EXCLUDES(mu_);
  // unlockpt(3)
  void set_locked(uint32_t index, bool locked) EXCLUDES(mu_);
  bool is_locked(uint32_t index) EXCLUDES(mu_);
  // Of a loaded terminal; false: the name is another's, or has a master.
  bool claim(uint32_t index, const Tty& tty) EXCLUDES(mu_);
  // The master is gone.
  void remove(uint32_t index) EXCLUDES(mu_);

  // The directory. ptmx has an inode for each look-up and its attributes here.
  Result<Ref<Inode>> lookup(std::string_view name) EXCLUDES(mu_);
  std::vector<uint32_t> indices() EXCLUDES(mu_);
  uint32_t ptmx_mode() EXCLUDES(mu_);
  void set_ptmx_mode(uint32_t mode) EXCLUDES(mu_);

  USK_FIELDS_OF(FileSystem, options_, slaves_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  Result<uint32_t> add(Ref<Tty>& tty, const Creds& creds) EXCLUDES(mu_);
  Result<uint32_t> free_index_locked() REQUIRES(mu_);

  mutable Mutex<Rank::kLeaf> mu_;
  DevPtsOptions options_ GUARDED_BY(mu_);
  std::map<uint32_t, Ref<PtsInode>> slaves_ GUARDED_BY(mu_);
};

Result<FsTree> make_devpts(const DevPtsOptions& options);

// The /dev/ptmx of a file system other than devpts: serves the instance mounted at "pts" beside
// it (Linux: path_pts()). ENODEV without one.
Result<Ref<File>> open_ptmx(Inode& inode, Path path, int flags, Ref<const Creds> creds);

}  // namespace usk
