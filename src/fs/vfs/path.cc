#include "fs/vfs/path.h"

#include "base/check.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/mount.h"

namespace usk {

Path::Path() = default;
Path::Path(Ref<Mount> m, Ref<Dentry> d) : mount(std::move(m)), dentry(std::move(d)) {}
Path::Path(const Path&) = default;
Path::Path(Path&&) noexcept = default;
Path& Path::operator=(const Path&) = default;
Path& Path::operator=(Path&&) noexcept = default;
Path::~Path() = default;

Inode& Path::inode() const {
  CHECK(dentry && dentry->inode());
  return *dentry->inode();
}

bool operator==(const Path& a, const Path& b) { return a.mount == b.mount && a.dentry == b.dentry; }

}  // namespace usk
