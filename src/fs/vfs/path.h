// A place in the file tree: a dentry seen through a mount.
#pragma once
#include <string>

#include "base/fields.h"
#include "base/ref.h"

namespace usk {

class Dentry;
class Inode;
class Mount;

// A walk moves many paths and keeps few: that needs neither class in full.
void add_count(const Dentry* d);
void drop_count(const Dentry* d);
void add_count(const Mount* m);
void drop_count(const Mount* m);

struct Path {
  Ref<Mount> mount;
  Ref<Dentry> dentry;

  Path() = default;
  Path(Ref<Mount> m, Ref<Dentry> d) : mount(std::move(m)), dentry(std::move(d)) {}

  explicit operator bool() const { return bool(dentry); }
  Inode& inode() const;  // Of a positive dentry.
  friend bool operator==(const Path& a, const Path& b) = default;

  USK_FIELDS(mount, dentry)
};

}  // namespace usk
