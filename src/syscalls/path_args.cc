#include "syscalls/path_args.h"

namespace usk::sys {

Result<PathArg> get_path(Task& t, DirFd dir, UserPath path) {
  PathArg p;
  p.text = TRY(t.mem().get_path(path));
  p.ctx = t.walk_context();
  p.at = p.text.starts_with('/') ? p.ctx.cwd : TRY(t.at(dir.n));
  return p;
}

Result<Place> get_place(Task& t, DirFd dir, UserPath path, uint32_t at_flags) {
  uint32_t walk_flags = at_flags & AT_SYMLINK_NOFOLLOW ? 0u : uint32_t(kFollow);
  if (at_flags & AT_EMPTY_PATH) {
    walk_flags |= kEmptyPath;
    if (path.addr == 0) {
      WalkContext ctx = t.walk_context();
      Path at = TRY(t.at(dir.n));
      return Place{std::move(ctx), std::move(at)};
    }
  }
  PathArg p = TRY(get_path(t, dir, path));
  Path found = TRY(p.walk(walk_flags));
  return Place{std::move(p.ctx), std::move(found)};
}

Result<Place> place_of_fd(Task& t, Fd fd, bool allow_path_only) {
  Ref<File> file = TRY(allow_path_only ? t.file_or_path(fd.n) : t.file(fd.n));
  return Place{t.walk_context(), file->path()};
}

}  // namespace usk::sys
