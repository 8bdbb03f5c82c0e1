// A place in the file tree: a dentry seen through a mount.
#pragma once
#include <string>

#include "base/fields.h"
#include "base/ref.h"

namespace usk {

class Dentry;
class Inode;
class Mount;

struct Path {
  Ref<Mount> mount;
  Ref<Dentry> dentry;

  Path();
  Path(Ref<Mount> m, Ref<Dentry> d);
  Path(const Path&);
  Path(Path&&) noexcept;
  Path& operator=(const Path&);
  Path& operator=(Path&&) noexcept;
  ~Path();

  explicit operator bool() const { return bool(dentry); }
  Inode& inode() const;  // Of a positive dentry.
  friend bool operator==(const Path&, const Path&);

  USK_FIELDS(mount, dentry)
};

}  // namespace usk
