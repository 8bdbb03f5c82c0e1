// A directory of an overlay.
#pragma once
#include <set>

#include "fs/mem/mem_dir.h"
#include "fs/overlay/overlay.h"
#include "fs/vfs/dir_file.h"

namespace usk {

// Its entries as a MemDir are names that the guest made or moved here; they hide names of the
// layers below. What was removed of those is a whiteout. A directory of the guest's own has no
// layers below.
class OverlayDir final : public MemDir {
 public:
  OverlayDir(Ref<OverlayFs> fs, Ino ino, const NodeInit& init, bool charged,
             std::vector<OverlayFs::Found> lowers);

  explicit OverlayDir(Blank b) : MemDir(b) {}

  Result<Ref<Inode>> lookup(std::string_view name) override EXCLUDES(mu_);
  Result<void> unlink(std::string_view name, Inode& victim) override EXCLUDES(mu_);
  Result<void> rmdir(std::string_view name, Inode& victim) override EXCLUDES(mu_);
  Result<void> rename(std::string_view name, Inode& source, Inode& new_dir,
                      std::string_view new_name, Inode* target, uint32_t flags) override
      EXCLUDES(mu_);
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;

  // All names, with the numbers of what they stand for.
  Result<std::vector<DirEntry>> list() EXCLUDES(mu_);
  void hide(std::string_view name) EXCLUDES(mu_);
  // Lower names that the guest removed and that are still absent.
  std::vector<std::string> removed_names() EXCLUDES(mu_);
  // Whether a layer below has it, hidden or not.
  Result<bool> lower_has(std::string_view name);
  void become_root() { is_root_ = true; }

  USK_FIELDS_OF(MemDir, lowers_, is_root_, whiteouts_, hidden_, xattrs_loaded_)
  OrFailure<void> restored(state::Restored& r);

 protected:
  Result<void> kill_if_empty() override EXCLUDES(mu_);
  Result<void> load_xattrs() override;
  void last_unref() override;

 private:
  OverlayFs& overlay() const { return static_cast<OverlayFs&>(fs()); }
  Result<std::vector<OverlayFs::Found>> find_lower(std::string_view name);
  Result<std::vector<DirEntry>> lower_list();
  void remove_whiteout(std::string_view name) EXCLUDES(mu_);
  bool absent_locked(const std::string& name) const REQUIRES(mu_);
  // True if it made one.
  Result<bool> whiteout_if_lower(std::string_view name) EXCLUDES(mu_);

  std::vector<OverlayFs::Found> lowers_;
  bool is_root_ = false;
  std::set<std::string, std::less<>> whiteouts_ GUARDED_BY(mu_);
  std::set<std::string, std::less<>> hidden_ GUARDED_BY(mu_);
  std::atomic<bool> xattrs_loaded_{false};
};

// Fetches the xattrs of `lower` once.
template <class Adopt>
Result<void> fetch_xattrs(Inode& lower, std::atomic<bool>& loaded, Adopt adopt) {
  if (loaded.load(std::memory_order_acquire)) return {};
  auto names = lower.listxattr();
  if (!names) return Err(names.error());
  for (const std::string& name : *names) {
    Result<std::string> value = lower.getxattr(name);
    if (value) adopt(name, *std::move(value));
  }
  loaded.store(true, std::memory_order_release);
  return {};
}

}  // namespace usk
