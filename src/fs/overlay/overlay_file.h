// A regular file of a layer below, until the guest changes it.
#pragma once
#include "fs/mem/mem_regular.h"
#include "fs/overlay/overlay.h"

namespace usk {

// Its contents are the lower file's until something is to change them; then they are copied into
// memory. Attributes are its own from the beginning.
class OverlayRegular final : public MemRegular {
 public:
  OverlayRegular(Ref<OverlayFs> fs, Ino ino, const NodeInit& init, Ref<Inode> lower);

  explicit OverlayRegular(Blank b) : MemRegular(b) {}

  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;
  bool copied() const { return copied_.load(std::memory_order_acquire); }

  USK_FIELDS_OF(MemRegular, lower_, copied_, xattrs_loaded_)
  OrFailure<void> restored(state::Restored& r);

 protected:
  Result<void> need_contents(uint64_t keep) override EXCLUDES(mu_);
  Result<void> load_xattrs() override;
  void fill_size(Attr& attr) override REQUIRES(mu_);

 private:
  Result<void> copy(File& from, uint64_t size) EXCLUDES(mu_);
  Result<Ref<File>> open_lower(Ref<const Creds> creds);

  Ref<Inode> lower_;  // Never changes.
  Mutex<Rank::kOverlay> copy_mu_;
  std::atomic<bool> copied_{false};
  std::atomic<bool> xattrs_loaded_{false};
};

// Reads the lower file while the inode stands for it: also when it is copied up meanwhile, what
// is read is what was last written.
class OverlayFile final : public MemFile {
 public:
  OverlayFile(Path path, int flags, Ref<const Creds> creds, Ref<File> lower)
      : MemFile(std::move(path), flags, std::move(creds)), lower_(std::move(lower)) {}

  explicit OverlayFile(Blank b) : MemFile(b) {}

  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t offset, int whence) override;
  Result<MmapBacking> mmap(uint64_t offset, uint64_t length, int prot, int flags) override;

  USK_FIELDS_OF(MemFile, lower_)
  OrFailure<void> restored(state::Restored& r);

 private:
  bool reads_lower() const;

  Ref<File> lower_;  // Null when the contents were copied before it was opened.
};

}  // namespace usk
