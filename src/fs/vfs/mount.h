// mount_namespaces(7): file systems put together to one tree.
#pragma once
#include <sys/mount.h>

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/budget.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/path.h"

namespace usk {

class Mount;
class MountNamespace;
class PeerGroup;
struct MountTree;  // fs/vfs/mount_tree.h

// Guards the shape of all mount trees: parents, mountpoints, children, membership, peer groups.
extern Mutex<Rank::kMounts> mount_tree_mutex;

// A file system and the root of its dentries: what a file system's maker returns.
struct FsTree {
  Ref<FileSystem> fs;
  Ref<Dentry> root;
  USK_FIELDS(fs, root)
};

// A tree of dentries seen at a place, with flags of its own. Mounts of one file system share it.
class Mount final : public RefCounted {
 public:
  // The flags a mount keeps, as MS_* bits; MS_RELATIME is the default without MS_NOATIME and
  // MS_STRICTATIME.
  static constexpr unsigned long kFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC |
                                          MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_NOSYMFOLLOW;

  // Attached to nothing yet. `root` is the tree's root, or what a bind mount shows.
  static Ref<Mount> make(FsTree tree, unsigned long flags, std::string source);
  ~Mount() override;

  int id() const { return id_; }
  FileSystem& fs() const { return *fs_; }
  const Ref<FileSystem>& fs_ref() const { return fs_; }
  const Ref<Dentry>& root() const { return root_; }
  const std::string& source() const { return source_; }
  unsigned long flags() const { return flags_.load(std::memory_order_relaxed); }
  bool has(unsigned long flag) const { return flags() & flag; }
  // EROFS when the mount or its file system is read-only.
  Result<void> check_writable() const;
  // Files open for writing (kept by File); a read-only remount is refused while there are some.
  void count_writer(int delta) {
    writers_.fetch_add(delta);
    fs_->count_writer(delta);
  }
  int writers() const { return writers_.load(); }

  // Where it stands: null for the root of a namespace or a detached one.
  Path mountpoint() const EXCLUDES(mount_tree_mutex);
  // The mount that stands right on `dentry` of this mount, or null.
  Ref<Mount> mounted_on(const Dentry& dentry) const EXCLUDES(mount_tree_mutex);

  // Whether it is the root of a tree that processes have, rather than attached nowhere.
  bool is_in_a_tree() const EXCLUDES(mount_tree_mutex);

  // Unique among all mounts ever made, unlike what id() promises (statmount(2)).
  uint64_t unique_id() const { return (uint64_t(1) << 32) + uint64_t(id_); }
  // How it takes part in propagation: the ids of its peer group (shared), of the group it follows
  // (slave), of the nearest group above with a member that `root` can reach; 0 for none.
  struct Propagation {
    int peers = 0, master = 0, from = 0;
    bool unbindable = false;
  };
  Propagation propagation(const MountNamespace& ns, const Path& root) const
      EXCLUDES(mount_tree_mutex);

  USK_FIELDS(id_, fs_, root_, source_, flags_, parent_, mountpoint_, peers_, master_, unbindable_,
             locked_, locked_flags_, charge_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mount_tree_mutex);
  bool is_whole() const { return fs_ && root_ && !root_->is_negative(); }

 private:
  friend class MountNamespace;
  friend struct MountTree;
  friend struct UmountRules;
  friend struct PathText;
  friend state::Access;
  Mount() = default;

  int id_ = 0;
  Ref<FileSystem> fs_;
  Ref<Dentry> root_;
  std::string source_;
  std::atomic<unsigned long> flags_{0};
  std::atomic<int> writers_{0};
  Ref<Mount> parent_ GUARDED_BY(mount_tree_mutex);
  Ref<Dentry> mountpoint_ GUARDED_BY(mount_tree_mutex);
  std::map<const Dentry*, Ref<Mount>> children_ GUARDED_BY(mount_tree_mutex);
  MountNamespace* ns_ GUARDED_BY(mount_tree_mutex) = nullptr;
  Ref<PeerGroup> peers_ GUARDED_BY(mount_tree_mutex);   // Shared with these.
  Ref<PeerGroup> master_ GUARDED_BY(mount_tree_mutex);  // Slave of these.
  bool unbindable_ GUARDED_BY(mount_tree_mutex) = false;
  // It covers what a less privileged namespace must not see: it stays where it is.
  bool locked_ GUARDED_BY(mount_tree_mutex) = false;
  unsigned long locked_flags_ GUARDED_BY(mount_tree_mutex) = 0;  // That must not be taken away.
  Charge charge_;
};

struct ByMountId {
  bool operator()(const Mount* a, const Mount* b) const { return a->id() < b->id(); }
};

// The mounts that share their changes, and those that follow them. A group without members has
// no slaves: they go over to the group that it followed.
class PeerGroup final : public RefCounted {
 public:
  PeerGroup();
  explicit PeerGroup(Blank) : id_(0) {}
  int id() const { return id_; }
  std::set<Mount*, ByMountId> members GUARDED_BY(mount_tree_mutex);
  std::set<Mount*, ByMountId> slaves GUARDED_BY(mount_tree_mutex);
  USK_FIELDS(id_)

 private:
  int id_;
};

// The topmost mount stacked at `path`: where a walk that reaches it arrives.
Path top_of(Path path);
// The place a mount's root covers, through all mounts stacked below: for "..".
Path below_mounts(Path path);

// One mount tree; the object behind CLONE_NEWNS. All operations check what concerns the tree;
// capabilities and the look-up of paths are the caller's business. What is mounted on, unmounted
// from or moved to a shared mount happens at its peers and slaves, too (mount_namespaces(7)).
class MountNamespace final : public RefCounted {
 public:
  static constexpr size_t kMaxMounts = 100'000;  // Linux: /proc/sys/fs/mount-max.

  // A namespace whose root mount is `root`.
  static Ref<MountNamespace> make(Ref<Mount> root, Ref<UserNamespace> owner);
  // The tree of open_tree(2) and fsmount(2) before it is mounted: in no process's view, and
  // dissolved with the last reference.
  static Ref<MountNamespace> make_detached(Ref<Mount> root, Ref<UserNamespace> owner);
  ~MountNamespace() override;

  uint64_t id() const { return id_; }
  const Ref<UserNamespace>& owner() const { return owner_; }
  bool is_detached() const { return detached_; }
  Path root() const EXCLUDES(mount_tree_mutex);  // Top of the root mounts.

  // unshare(CLONE_NEWNS): a copy of the tree; each Path of `moved` goes to its copy. With another
  // owner what was shared becomes a slave, and all is locked together.
  Result<Ref<MountNamespace>> clone(Ref<UserNamespace> owner, std::vector<Path*> moved)
      EXCLUDES(mount_tree_mutex);

  // mount(2): puts `mount` (attached nowhere) on `at`. ENOENT for a removed place, ENOTDIR
  // where a directory meets something else, EBUSY for the same tree twice, EINVAL for a place
  // of another namespace, ENOSPC at kMaxMounts.
  Result<void> attach(Ref<Mount> mount, const Path& at) EXCLUDES(mount_tree_mutex);
  // MS_BIND, with MS_REC also what is mounted below `from`. EINVAL: unbindable.
  Result<void> bind(const Path& from, const Path& at, bool recursive) EXCLUDES(mount_tree_mutex);
  // open_tree(2) with OPEN_TREE_CLONE: the copy that bind() would mount.
  Result<Ref<MountNamespace>> copy_tree(const Path& from, bool recursive)
      EXCLUDES(mount_tree_mutex);
  // MS_MOVE, move_mount(2); `from` may be the root of a detached tree, which is then mounted.
  // `beneath`: under the mount that stands at `to`.
  Result<void> move(const Path& from, const Path& to, bool beneath = false)
      EXCLUDES(mount_tree_mutex);
  // MOVE_MOUNT_SET_GROUP: `to` joins the peers or masters of `from`.
  Result<void> set_group(const Path& from, const Path& to) EXCLUDES(mount_tree_mutex);
  // MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE of the mount whose root `at` is.
  Result<void> set_propagation(const Path& at, unsigned long type, bool recursive)
      EXCLUDES(mount_tree_mutex);
  // MS_REMOUNT | MS_BIND: new flags of the mount whose root `at` is. EBUSY: open for writing.
  // EPERM: takes away what a more privileged namespace set.
  Result<void> remount(const Path& at, unsigned long flags) EXCLUDES(mount_tree_mutex);
  // mount_setattr(2): all or none of the mounts from `at` down. `type`: MS_SHARED..., or 0.
  struct AttrMask {
    unsigned long set = 0, clear = 0, type = 0;
  };
  Result<void> set_attributes(const Path& at, const AttrMask& what, bool recursive)
      EXCLUDES(mount_tree_mutex);
  // umount2(2) with MNT_DETACH and MNT_EXPIRE (answered EAGAIN, as to a first try). `at` is
  // consumed: its counts would keep the mount busy.
  Result<void> umount(Path at, int flags) EXCLUDES(mount_tree_mutex);
  // pivot_root(2); `root` is the caller's root. The caller then moves roots and working
  // directories of processes from old_root() to new_root.
  Result<void> pivot_root(const Path& root, const Path& new_root, const Path& put_old)
      EXCLUDES(mount_tree_mutex);
  // Whether the mount belongs to this namespace's tree.
  bool contains(const Mount& mount) const EXCLUDES(mount_tree_mutex);

  // The mounts in order of mounting.
  std::vector<Ref<Mount>> list() const EXCLUDES(mount_tree_mutex);
  Ref<Mount> find(int id) const EXCLUDES(mount_tree_mutex);
  // /proc/PID/mounts and /proc/PID/mountinfo as read by a process with this root.
  std::string mounts_text(const Path& root) const;
  std::string mountinfo_text(const Path& root) const;
  // Rises with each change: poll(2) of /proc/PID/mounts.
  uint64_t generation() const { return generation_.load(); }

  USK_FIELDS(id_, owner_, detached_, root_, mounts_, generation_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mount_tree_mutex);

 private:
  friend struct MountTree;
  friend class Mount;
  friend state::Access;
  MountNamespace() = default;
  void adopt_locked(const Ref<Mount>& mount) REQUIRES(mount_tree_mutex);
  void disown_locked(Mount& mount) REQUIRES(mount_tree_mutex);
  Result<void> check_place_locked(const Path& at, const Mount& mount) const
      REQUIRES(mount_tree_mutex);
  Result<void> check_source_locked(const Path& from, bool recursive) const
      REQUIRES(mount_tree_mutex);
  Result<void> check_move_locked(const Path& from, const Path& to) const REQUIRES(mount_tree_mutex);
  Result<void> check_pivot_locked(const Path& root, const Path& new_root, const Path& put_old) const
      REQUIRES(mount_tree_mutex);
  Result<void> graft_locked(const std::vector<Ref<Mount>>& tree, const Path& at)
      REQUIRES(mount_tree_mutex);

  uint64_t id_ = 0;
  Ref<UserNamespace> owner_;
  bool detached_ = false;
  Ref<Mount> root_ GUARDED_BY(mount_tree_mutex);
  std::map<int, Ref<Mount>> mounts_ GUARDED_BY(mount_tree_mutex);  // By id.
  std::atomic<uint64_t> generation_{1};
};

}  // namespace usk
