// Open files and directories of the host.
#pragma once
#include "fs/hostfs/host_inode.h"
#include "fs/vfs/dir_file.h"
#include "fs/vfs/file.h"

namespace usk {

// Reads and writes go to the host's page cache; mappings are of the host's file itself.
class HostFile final : public File {
 public:
  HostFile(Path path, int flags, Ref<const Creds> creds, Ref<HostFd> fd);
  explicit HostFile(Blank b) : File(b) {}
  ~HostFile() override;

  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t offset, int whence) override;
  Result<MmapBacking> mmap(uint64_t offset, uint64_t length, int prot, int flags) override;
  Result<void> fsync(bool data_only) override;
  Result<void> truncate(uint64_t size) override;
  Result<void> fallocate(int mode, uint64_t offset, uint64_t length) override;
  // The descriptor is opened again.
  USK_FIELDS_OF(File)
  OrFailure<void> restored(state::Restored& r);

 private:
  HostInode& node() const { return static_cast<HostInode&>(inode()); }

  Ref<HostFd> fd_;
};

class HostDirFile final : public SnapshotDirFile {
 public:
  using SnapshotDirFile::SnapshotDirFile;
  USK_FIELDS_OF(SnapshotDirFile)
  OrFailure<void> restored(state::Restored& r);

 protected:
  Result<std::vector<DirEntry>> list() override;
};

}  // namespace usk
