#include "fs/anon/anon_file.h"

#include <fmt/format.h>
#include <linux/magic.h>

#include "fs/vfs/internal.h"
#include "fs/vfs/saving.h"
#include "state/singletons.h"

namespace usk {
namespace {

InternalFs& anon_fs() {
  // Never destroyed: files may outlive statics.
  static InternalFs& fs = *make_ref<InternalFs>("anon_inodefs", ANON_INODE_FS_MAGIC).release();
  return fs;
}

// Linux: all of them share one inode, of mode 0600 and no type, owned by root.
class AnonInode final : public InternalInode {
 public:
  AnonInode() : InternalInode(Ref<InternalFs>::share(&anon_fs()), 0600, Creds()) {}
  Result<void> setattr(const AttrChange& change) override { return Err(EOPNOTSUPP); }
};

AnonInode& anon_inode() {
  static AnonInode& inode = *make_ref<AnonInode>().release();  // Likewise.
  return inode;
}

Path anon_path(std::string_view name) {
  return internal_path(Ref<AnonInode>::share(&anon_inode()), fmt::format("anon_inode:{}", name));
}

}  // namespace

USK_SINGLETON(anon_fs, "anon_inodefs")
USK_SINGLETON(anon_inode, "anon_inode")

AnonFile::AnonFile(std::string_view name, int flags, Ref<const Creds> creds)
    : File(anon_path(name), flags & (O_ACCMODE | O_NONBLOCK), kCanPoll, std::move(creds)) {}

}  // namespace usk
