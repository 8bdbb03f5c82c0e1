// What the operations on mount trees share: copies, peer groups, propagation.
#pragma once
#include <vector>

#include "fs/vfs/mount.h"

namespace usk {

// All under mount_tree_mutex. A "tree" is a list of mounts, the top first, parents before
// children.
struct MountTree {
  using Mounts = std::vector<Ref<Mount>>;

  static void link(const Ref<Mount>& mount, const Path& at) REQUIRES(mount_tree_mutex);
  // Takes it off its place. What it let go of is put into `dropped`, for after the lock.
  static void unlink(Mount& mount, std::vector<Path>& dropped) REQUIRES(mount_tree_mutex);
  // Takes it out of its namespace's list.
  static void disown(Mount& mount) REQUIRES(mount_tree_mutex);
  static Ref<Mount> child_at(const Mount& mount, const Dentry& place) REQUIRES(mount_tree_mutex);
  // The mount stacked on top of all on the root of `mount`, or itself.
  static Ref<Mount> topmost(Ref<Mount> mount) REQUIRES(mount_tree_mutex);

  // What stands right on `place`, in whatever namespace.
  static Mounts all_on(const Dentry& place) REQUIRES(mount_tree_mutex);
  static Mounts below(const Ref<Mount>& top) REQUIRES(mount_tree_mutex);
  static bool has_unbindable(const Ref<Mount>& top) REQUIRES(mount_tree_mutex);
  // Whether something locked stands right below `place`.
  static bool has_locked_children(const Path& place) REQUIRES(mount_tree_mutex);

  struct CopyHow {
    bool recursive = true;
    bool with_unbindable = false;  // Else they are left out, with what is below them.
    bool shared_to_slave = false;
  };
  // A copy of what `from` shows. Each is a peer or slave as its original is; free() undoes that.
  // `originals`: of which each is the copy. ENOMEM.
  static Result<Mounts> copy(const Path& from, const CopyHow& how,
                             std::vector<const Mount*>* originals = nullptr)
      REQUIRES(mount_tree_mutex);
  // Takes copies that will not be mounted out of their groups and apart.
  static void free(const Mounts& tree, std::vector<Path>& dropped) REQUIRES(mount_tree_mutex);

  static void join(Mount& mount, Ref<PeerGroup> group) REQUIRES(mount_tree_mutex);
  static void follow(Mount& mount, Ref<PeerGroup> master) REQUIRES(mount_tree_mutex);
  // MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE.
  static void set_type(Mount& mount, unsigned long type) REQUIRES(mount_tree_mutex);
  // For a namespace of less privilege: all but the top stay where they are, with their flags.
  static void lock_together(const Mounts& tree) REQUIRES(mount_tree_mutex);

  // The mounts that a change on `mount` reaches: its peers, its slaves, theirs. Not itself.
  static Mounts receivers(const Mount& mount) REQUIRES(mount_tree_mutex);

  // Copies of `tree` for every receiver of what happens at `at`.
  struct Copy {
    Path at;
    Mounts tree;
  };
  // After an error, what is in `out` is to be freed.
  static Result<void> propagate(const Mounts& tree, const Path& at, std::vector<Copy>& out)
      REQUIRES(mount_tree_mutex);

  // Leaves its peers, and stays with its master.
  static void leave(Mount& mount) REQUIRES(mount_tree_mutex);

 private:
  struct Group;
  static Ref<Mount> copy_one(const Mount& m, Ref<Dentry> root, const CopyHow& how)
      REQUIRES(mount_tree_mutex);
  static Result<void> copy_for(const Mounts& tree, const Path& place, const Group& groups,
                               bool peers, std::vector<Copy>& out) REQUIRES(mount_tree_mutex);
  static Result<Group> copy_for_group(const Mounts& tree, const Path& at, const Group& above,
                                      PeerGroup& group, std::vector<Copy>& out)
      REQUIRES(mount_tree_mutex);
};

// Whether something is mounted right on `place` as the namespace sees it: it may not be removed
// then. Where only others mounted there, it may, and their mounts go with it.
bool is_mountpoint_in(const MountNamespace& ns, const Dentry& place) EXCLUDES(mount_tree_mutex);
void unmount_everywhere(const Dentry& place) EXCLUDES(mount_tree_mutex);

}  // namespace usk
