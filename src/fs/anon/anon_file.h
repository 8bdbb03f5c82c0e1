// What eventfd, epoll and their like have in common: no name, no contents, one inode for all.
#pragma once
#include <string_view>

#include "fs/vfs/file.h"

namespace usk {

// A file of anon_inodefs; /proc/PID/fd shows it as "anon_inode:" and its name ("[eventfd]").
class AnonFile : public File {
 public:
  // Of `flags`, the access mode and O_NONBLOCK count.
  AnonFile(std::string_view name, int flags, Ref<const Creds> creds);
  explicit AnonFile(Blank b) : File(b) {}
  // Linux: lseek(2) succeeds and does nothing.
  Result<uint64_t> seek(int64_t offset, int whence) override { return 0; }
  Result<void> truncate(uint64_t size) override { return Err(EINVAL); }
};

}  // namespace usk
