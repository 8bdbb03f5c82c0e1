// Finding what an *at call is about.
#pragma once
#include "fs/vfs/vfs_ops.h"
#include "syscalls/syscalls.h"

namespace usk {

// Where a relative path starts. An absolute path does not look at the descriptor.
inline Result<Path> start_of(Task& t, DirFd dir, const std::string& path) {
  if (path.starts_with('/')) return t.fs->root();
  return t.at(dir.n);
}

// The place that (dir, path) names. AT_EMPTY_PATH: "" is the descriptor itself.
inline Result<Path> find_at(Task& t, DirFd dir, UserPath path, uint32_t at_flags,
                            bool follow_default) {
  std::string name;
  if (path.addr || !(at_flags & AT_EMPTY_PATH)) name = TRY(t.mem().get_path(path));
  uint32_t flags = follow_default ? uint32_t(kFollow) : 0u;
  if (at_flags & AT_SYMLINK_NOFOLLOW) flags = 0;
  if (at_flags & AT_SYMLINK_FOLLOW) flags = kFollow;
  if (at_flags & AT_EMPTY_PATH) flags |= kEmptyPath;
  return walk(t.walk_context(), TRY(start_of(t, dir, name)), name, flags);
}

}  // namespace usk
