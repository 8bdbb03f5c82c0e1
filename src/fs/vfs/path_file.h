// open(2) with O_PATH: a place and nothing else.
#pragma once
#include "fs/vfs/file.h"

namespace usk {

class PathFile final : public File {
 public:
  PathFile(Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kPathOnly, std::move(creds)) {}
  Result<size_t> read(IoOut&, uint64_t&) override { return Err(EBADF); }
  Result<size_t> write(IoIn&, uint64_t&) override { return Err(EBADF); }
  Result<uint64_t> seek(int64_t, int) override { return Err(EBADF); }
  Result<void> read_dir(DirSink&, uint64_t&) override { return Err(EBADF); }
  Result<int64_t> ioctl(Caller&, uint32_t, uint64_t) override { return Err(EBADF); }
  Result<MmapBacking> mmap(uint64_t, uint64_t, int, int) override { return Err(EBADF); }
  Result<void> fsync(bool) override { return Err(EBADF); }
  Result<void> truncate(uint64_t) override { return Err(EBADF); }
  Result<void> fallocate(int, uint64_t, uint64_t) override { return Err(EBADF); }
};

}  // namespace usk
