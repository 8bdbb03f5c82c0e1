#include "fs/tmpfs/shmem.h"

#include <fcntl.h>

#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_count.h"
#include "fs/vfs/saving.h"
#include "state/singletons.h"

namespace usk {
namespace {

constexpr int kLargeFile = 0100000;  // O_LARGEFILE, which libc hides.

Tmpfs& shmem_fs() { return static_cast<Tmpfs&>(shmem_mount()->fs()); }
Mount& the_mount() { return *shmem_mount(); }

}  // namespace

// Linux, too, has no shared memory without this mount: it is made when the kernel starts.
// The mount is loaded first: when its own root goes, that gives back to the quota it was charged
// to.
USK_SINGLETON(the_mount, "shmem")
USK_SINGLETON(shmem_fs, "shmem fs")

const Ref<Mount>& shmem_mount() {
  // Never destroyed: files may outlive statics.
  static const auto& mount = *new Ref<Mount>([]() -> Ref<Mount> {
    auto tree = make_tmpfs({.size_bytes = UINT64_MAX, .max_inodes = UINT64_MAX});
    return tree ? Mount::make(std::move(*tree), 0, "tmpfs") : Ref<Mount>();
  }());
  return mount;
}

Result<Ref<MemFile>> make_shmem_file(std::string shown, uint32_t mode, Ref<const Creds> creds) {
  if (!shmem_mount()) return Err(ENOMEM);
  if (count_of_files() >= most_files()) return Err(ENFILE);
  auto& fs = static_cast<MemFs&>(shmem_mount()->fs());
  Ref<MemInode> node =
      TRY(fs.make_node({.mode = S_IFREG | mode, .uid = creds->fsuid, .gid = creds->fsgid}));
  Path path(shmem_mount(), Dentry::make_anonymous(node, std::move(shown)));
  return make_ref<MemFile>(std::move(path), O_RDWR | kLargeFile, std::move(creds));
}

Result<Ref<File>> make_shared_memory(uint64_t length, Ref<const Creds> creds) {
  Ref<MemFile> file = TRY(make_shmem_file("/dev/zero (deleted)", 0777, std::move(creds)));
  TRY(file->inode().setattr({.set = AttrChange::kSize, .size = length}));
  return Ref<File>(file);
}

}  // namespace usk
