// Paths as system calls take them: a string in guest memory and where it starts.
#pragma once
#include <fcntl.h>

#include <string>

#include "fs/vfs/vfs_ops.h"
#include "syscalls/args.h"
#include "syscalls/syscalls.h"

namespace usk::sys {

// A path read from the guest, the place it starts from, and whose walk it is.
struct PathArg {
  WalkContext ctx;
  Path at;
  std::string text;

  Result<Path> walk(uint32_t flags) const { return usk::walk(ctx, at, text, flags); }
};

// `dir` counts only for a relative path; EBADF when it is not open.
Result<PathArg> get_path(Task& t, DirFd dir, UserPath path);
inline Result<PathArg> get_path(Task& t, UserPath path) {
  return get_path(t, DirFd{AT_FDCWD}, path);
}

// The place an *at call means: links followed unless AT_SYMLINK_NOFOLLOW, the descriptor itself
// for an empty path with AT_EMPTY_PATH (then also for a null one).
struct Place {
  WalkContext ctx;
  Path path;
};
Result<Place> get_place(Task& t, DirFd dir, UserPath path, uint32_t at_flags);
// Of an open descriptor, O_PATH ones as well or not.
Result<Place> place_of_fd(Task& t, Fd fd, bool allow_path_only);

}  // namespace usk::sys
