// struct stat of x86-64 as stat(2) fills it.
#pragma once
#include <cstdint>

namespace usk {

struct KernelStat {
  uint64_t dev, ino, nlink;
  uint32_t mode, uid, gid, pad;
  uint64_t rdev;
  int64_t size, blksize, blocks;
  uint64_t atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec;
  int64_t unused[3];
};
static_assert(sizeof(KernelStat) == 144);

}  // namespace usk
