// Values that inodes and files exchange: inode(7), stat(2), statx(2).
#pragma once
#include <linux/stat.h>
#include <sys/stat.h>
#include <time.h>

#include <cstdint>

#include "base/fields.h"
#include "creds/creds.h"

namespace usk {

using Ino = uint64_t;
using Dev = uint64_t;  // As the kernel's huge encoding: makedev(3).

// Attributes of an inode, ids as kernel ids.
struct Attr {
  Dev dev = 0;
  Ino ino = 0;
  uint32_t mode = 0;  // Type and permissions, S_IF*.
  uint32_t nlink = 1;
  Uid uid = 0;
  Gid gid = 0;
  Dev rdev = 0;
  uint64_t size = 0;
  uint64_t blocks = 0;  // Of 512 bytes.
  uint32_t blksize = 4096;
  timespec atime{}, mtime{}, ctime{}, btime{};
  uint64_t attributes = 0;  // STATX_ATTR_*
  USK_FIELDS(dev, ino, mode, nlink, uid, gid, rdev, size, blocks, blksize, atime, mtime, ctime,
             btime, attributes)
};

// What setattr() is to change. `times_now` bits ask for the present time.
struct AttrChange {
  enum : uint32_t {
    kMode = 1,
    kUid = 2,
    kGid = 4,
    kSize = 8,
    kAtime = 16,
    kMtime = 32,
    kAtimeNow = 64,
    kMtimeNow = 128
  };
  uint32_t set = 0;
  uint32_t mode = 0;  // Permission bits (07777) only.
  Uid uid = 0;
  Gid gid = 0;
  uint64_t size = 0;
  timespec atime{}, mtime{};
};

// statfs(2)
struct FsStat {
  uint64_t type = 0, bsize = 4096, blocks = 0, bfree = 0, bavail = 0, files = 0, ffree = 0;
  uint64_t fsid = 0, namelen = 255, frsize = 4096, flags = 0;
};

// Permission bits as access(2) names them.
enum : uint32_t { kMayExec = 1, kMayWrite = 2, kMayRead = 4 };

}  // namespace usk
