// Regular files that live in memory.
#pragma once
#include "fs/mem/file_data.h"
#include "fs/mem/mem_inode.h"
#include "fs/vfs/file.h"

namespace usk {

class MemRegular : public MemInode {
 public:
  MemRegular(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged);
  explicit MemRegular(Blank b) : MemInode(b), data_(b), seals_(0) {}

  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;

  // What an open file asks for.
  virtual Result<size_t> read_at(IoOut& dst, uint64_t offset) EXCLUDES(mu_);
  // Writes at `pos`, or at the end; leaves `pos` past the bytes written.
  virtual Result<size_t> write_at(IoIn& src, uint64_t& pos, bool append) EXCLUDES(mu_);
  virtual Result<uint64_t> seek_data(uint64_t offset, bool hole) EXCLUDES(mu_);
  Result<void> allocate(int mode, uint64_t offset, uint64_t length) EXCLUDES(mu_);
  // `shared_write`: the mapping may change the file.
  virtual Result<MmapBacking> map(uint64_t offset, bool shared_write) EXCLUDES(mu_);

  // memfd_create(2)'s seals (F_SEAL_*); a file that may not be sealed has F_SEAL_SEAL.
  Result<void> add_seals(int seals) EXCLUDES(mu_);
  int seals() EXCLUDES(mu_);
  // Before its first use: from now on it may be sealed.
  void allow_sealing() EXCLUDES(mu_);
  // Shared mappings that may be written, kept by whoever maps: F_SEAL_WRITE is refused (EBUSY).
  void count_writable_mapping(int64_t delta) EXCLUDES(mu_);

  USK_FIELDS_OF(MemInode, data_, seals_)
  OrFailure<void> restored(state::Restored& r);

 protected:
  // Before contents are changed: that the first `keep` bytes are in data_. An overlay copies up.
  virtual Result<void> need_contents(uint64_t keep) EXCLUDES(mu_) { return {}; }
  void fill_size(Attr& attr) override REQUIRES(mu_);
  Result<void> resize(uint64_t size) override EXCLUDES(mu_);

  FileData data_ GUARDED_BY(mu_);

 private:
  int seals_ GUARDED_BY(mu_);
  int64_t writable_mappings_ GUARDED_BY(mu_) = 0;  // Derived.
};

// An open regular file.
class MemFile : public File {
 public:
  MemFile(Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread, std::move(creds)) {}
  explicit MemFile(Blank b) : File(b) {}

  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t offset, int whence) override;
  Result<MmapBacking> mmap(uint64_t offset, uint64_t length, int prot, int flags) override;
  void count_writable_mapping(int64_t pages) override { regular().count_writable_mapping(pages); }
  Result<void> fsync(bool) override { return {}; }
  Result<void> fallocate(int mode, uint64_t offset, uint64_t length) override;

  USK_FIELDS_OF(File)
  OrFailure<void> restored(state::Restored& r);

 private:
  MemRegular& regular() const { return static_cast<MemRegular&>(inode()); }
};

}  // namespace usk
