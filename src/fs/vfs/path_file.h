// open(2) with O_PATH: a place and nothing else.
#pragma once
#include "fs/vfs/file.h"

namespace usk {

class PathFile : public File {
 public:
  // `keeps`: what lives as long as the file, such as the tree of mounts that it stands for.
  PathFile(Path path, int flags, Ref<const Creds> creds, Ref<RefCounted> keeps = {})
      : File(std::move(path), flags, kPathOnly, std::move(creds)), keeps_(std::move(keeps)) {}
  explicit PathFile(Blank b) : File(b) {}
  Result<size_t> read(IoOut&, uint64_t&) override { return Err(EBADF); }
  Result<size_t> write(IoIn&, uint64_t&) override { return Err(EBADF); }
  Result<uint64_t> seek(int64_t, int) override { return Err(EBADF); }
  Result<void> read_dir(DirSink&, uint64_t&) override { return Err(EBADF); }
  Result<int64_t> ioctl(Caller&, uint32_t, uint64_t) override { return Err(EBADF); }
  Result<MmapBacking> mmap(uint64_t, uint64_t, int, int) override { return Err(EBADF); }
  Result<void> fsync(bool) override { return Err(EBADF); }
  Result<void> truncate(uint64_t) override { return Err(EBADF); }
  Result<void> fallocate(int, uint64_t, uint64_t) override { return Err(EBADF); }
  USK_FIELDS_OF(File, keeps_)

 private:
  Ref<RefCounted> keeps_;
};

}  // namespace usk
