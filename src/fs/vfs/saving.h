// For the .cc file of a kind of file, inode or file system that can be saved: what their base
// classes refer to.
#pragma once
#include <fmt/format.h>

#include "fs/vfs/dentry.h"
#include "fs/vfs/file_signals.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"
#include "state/saved.h"

namespace usk {

// A loaded object is of the class that its holder takes it for.
template <class T, class U>
OrFailure<void> check_is(const U& object) {
  if (dynamic_cast<const T*>(&object)) return {};
  return fail("it needs a " + state::readable_name(typeid(T)));
}

// restored() of a file whose inodes are always a T.
template <class T>
OrFailure<void> check_inode(const File& file) {
  return check_is<T>(file.inode());
}

}  // namespace usk
