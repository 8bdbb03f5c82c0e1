// inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).
#include "fs/anon/inotify.h"

#include <sys/inotify.h>

#include "syscalls/path_args.h"

namespace usk::sys {
namespace {

Result<Ref<InotifyFile>> inotify_file(Task& t, Fd fd) {
  auto file = ref_cast<InotifyFile>(TRY(t.file(fd.n)));
  if (!file) return Err(EINVAL);
  return file;
}

}  // namespace

SyscallResult inotify_init1(Task& t, CloexecFlags flags) {
  TRY(flags.only(IN_CLOEXEC | IN_NONBLOCK));
  TRY(ask(Category::kCreate, "!inotify"));
  auto file = make_ref<InotifyFile>(int(flags.bits), t.creds);
  return TRY(t.add_fd(std::move(file), flags.has(IN_CLOEXEC)));
}

SyscallResult inotify_init(Task& t) { return inotify_init1(t, {0}); }

SyscallResult inotify_add_watch(Task& t, Fd fd, UserPath path, uint32_t mask) {
  Ref<InotifyFile> file = TRY(inotify_file(t, fd));
  const std::string name = TRY(t.mem().get_path(path));
  const WalkContext ctx = t.walk_context();
  const uint32_t follow = mask & IN_DONT_FOLLOW ? 0 : uint32_t(kFollow);
  const Path place = TRY(walk(ctx, ctx.cwd, name, follow));
  TRY(ask(Category::kNotify, place));
  if ((mask & IN_ONLYDIR) && !place.inode().is_dir()) return Err(ENOTDIR);
  TRY(vfs::access(ctx, place, kMayRead));
  return TRY(file->add_watch(place, mask));
}

SyscallResult inotify_rm_watch(Task& t, Fd fd, int32_t wd) {
  TRY(TRY(inotify_file(t, fd))->remove_watch(wd));
  return 0;
}

}  // namespace usk::sys
