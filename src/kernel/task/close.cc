#include "kernel/task/close.h"

#include "fs/vfs/locks.h"

namespace usk {

Result<void> close_file(Task& t, Ref<File> file) {
  if (!file->can(File::kPathOnly) && file->path() && file->inode().has_locks()) {
    file->inode().locks().drop_owner(
        {.kind = LockOwner::Kind::kPosix, .id = t.fds ? t.fds->id() : 0});
  }
  return file->flush();
}

void close_files(Task& t, std::vector<Ref<File>> files) {
  for (Ref<File>& f : files) (void)close_file(t, std::move(f));
}

}  // namespace usk
