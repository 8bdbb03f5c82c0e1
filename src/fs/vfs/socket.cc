#include "fs/vfs/socket.h"

#include <fmt/format.h>
#include <linux/magic.h>

#include "fs/vfs/internal.h"
#include "state/singletons.h"

namespace usk {
namespace {

InternalFs& sockfs() {
  // Never destroyed: files may outlive statics.
  static InternalFs& fs = *make_ref<InternalFs>("sockfs", SOCKFS_MAGIC).release();
  return fs;
}

}  // namespace

USK_SINGLETON(sockfs, "sockfs")

Path socket_path(const Creds& creds) {
  auto inode = make_ref<InternalInode>(Ref<InternalFs>::share(&sockfs()), S_IFSOCK | 0777, creds);
  std::string name = fmt::format("socket:[{}]", inode->ino());
  return internal_path(std::move(inode), std::move(name));
}

}  // namespace usk
