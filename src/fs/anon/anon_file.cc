#include "fs/anon/anon_file.h"

#include <fmt/format.h>
#include <linux/magic.h>

#include "fs/vfs/internal.h"

namespace usk {
namespace {

// Linux: all of them share one inode, of mode 0600 and no type, owned by root.
class AnonInode final : public InternalInode {
 public:
  AnonInode()
      : InternalInode(make_ref<InternalFs>("anon_inodefs", ANON_INODE_FS_MAGIC), 0600, Creds()) {}
  Result<void> setattr(const AttrChange& change) override { return Err(EOPNOTSUPP); }
};

Path anon_path(std::string_view name) {
  static const auto& inode = *new Ref(make_ref<AnonInode>());  // Files may outlive statics.
  return internal_path(inode, fmt::format("anon_inode:{}", name));
}

}  // namespace

AnonFile::AnonFile(std::string_view name, int flags, Ref<const Creds> creds)
    : File(anon_path(name), flags & (O_ACCMODE | O_NONBLOCK), kCanPoll, std::move(creds)) {}

}  // namespace usk
