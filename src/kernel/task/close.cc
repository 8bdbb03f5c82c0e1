#include "kernel/task/close.h"

#include "fs/vfs/locks.h"

namespace usk {

namespace {

Result<void> close_file_of(uint64_t table, Ref<File> file) {
  if (!file->can(File::kPathOnly) && file->path() && file->inode().has_locks()) {
    file->inode().locks().drop_owner({.kind = LockOwner::Kind::kPosix, .id = table});
  }
  return file->flush();
}

}  // namespace

Result<void> close_file(Task& t, Ref<File> file) {
  return close_file_of(t.fds ? t.fds->id() : 0, std::move(file));
}

Result<void> close_file(const FdTable& table, Ref<File> file) {
  return close_file_of(table.id(), std::move(file));
}

void close_files(Task& t, std::vector<Ref<File>> files) {
  for (Ref<File>& f : files) (void)close_file(t, std::move(f));
}

}  // namespace usk
