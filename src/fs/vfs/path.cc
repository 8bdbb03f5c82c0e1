#include "fs/vfs/path.h"

#include "base/check.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/mount.h"

namespace usk {

void add_count(const Dentry* d) { d->ref(); }
void drop_count(const Dentry* d) { d->unref(); }
void add_count(const Mount* m) { m->ref(); }
void drop_count(const Mount* m) { m->unref(); }

Inode& Path::inode() const {
  CHECK(dentry && dentry->inode());
  return *dentry->inode();
}

}  // namespace usk
