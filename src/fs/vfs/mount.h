// mount_namespaces(7): file systems put together to one tree.
#pragma once
#include <sys/mount.h>

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/path.h"

namespace usk {

class MountNamespace;

// Guards the shape of all mount trees: parents, mountpoints, children, membership.
extern Mutex<Rank::kMounts> mount_tree_mutex;

// A file system and the root of its dentries: what a file system's maker returns.
struct FsTree {
  Ref<FileSystem> fs;
  Ref<Dentry> root;
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
  void count_writer(int delta) { writers_.fetch_add(delta); }
  int writers() const { return writers_.load(); }

  // Where it stands: null for the root of a namespace or a detached one.
  Path mountpoint() const EXCLUDES(mount_tree_mutex);
  // The mount that stands right on `dentry` of this mount, or null.
  Ref<Mount> mounted_on(const Dentry& dentry) const EXCLUDES(mount_tree_mutex);

  USK_FIELDS(id_, fs_, root_, source_, flags_, parent_, mountpoint_)

 private:
  friend class MountNamespace;
  friend struct PathText;
  Mount() = default;
  Ref<Mount> copy(Ref<Dentry> root) const;  // As bind mounts and namespace copies make it.

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
};

// The topmost mount stacked at `path`: where a walk that reaches it arrives.
Path top_of(Path path);
// The place a mount's root covers, through all mounts stacked below: for "..".
Path below_mounts(Path path);

// One mount tree; the object behind CLONE_NEWNS. All operations check what concerns the tree;
// capabilities and the look-up of paths are the caller's business.
class MountNamespace final : public RefCounted {
 public:
  static constexpr size_t kMaxMounts = 100'000;  // Linux: /proc/sys/fs/mount-max.

  // A namespace whose root mount is `root`.
  static Ref<MountNamespace> make(Ref<Mount> root, Ref<UserNamespace> owner);
  ~MountNamespace() override;

  uint64_t id() const { return id_; }
  const Ref<UserNamespace>& owner() const { return owner_; }
  Path root() const EXCLUDES(mount_tree_mutex);  // Top of the root mounts.

  // unshare(CLONE_NEWNS): a copy of the tree; each Path of `moved` goes to its copy.
  Result<Ref<MountNamespace>> clone(Ref<UserNamespace> owner, std::vector<Path*> moved)
      EXCLUDES(mount_tree_mutex);

  // mount(2): puts `mount` (attached nowhere) on `at`. ENOENT for a removed place, ENOTDIR
  // where a directory meets something else, EBUSY for the same tree twice, EINVAL for a place
  // of another namespace, ENOSPC at kMaxMounts.
  Result<void> attach(Ref<Mount> mount, const Path& at) EXCLUDES(mount_tree_mutex);
  // MS_BIND, with MS_REC also what is mounted below `from`.
  Result<void> bind(const Path& from, const Path& at, bool recursive) EXCLUDES(mount_tree_mutex);
  // MS_MOVE
  Result<void> move(const Path& from, const Path& to) EXCLUDES(mount_tree_mutex);
  // MS_REMOUNT | MS_BIND: new flags of the mount whose root `at` is. EBUSY: open for writing.
  Result<void> remount(const Path& at, unsigned long flags) EXCLUDES(mount_tree_mutex);
  // umount2(2) with MNT_DETACH and MNT_EXPIRE (answered EAGAIN, as to a first try). `at` is
  // consumed: its counts would keep the mount busy.
  Result<void> umount(Path at, int flags) EXCLUDES(mount_tree_mutex);
  // pivot_root(2); `root` is the caller's root. The caller then moves roots and working
  // directories of processes from old_root() to new_root.
  Result<void> pivot_root(const Path& root, const Path& new_root, const Path& put_old)
      EXCLUDES(mount_tree_mutex);
  // Whether the mount belongs to this namespace's tree.
  bool contains(const Mount& mount) const EXCLUDES(mount_tree_mutex);

  // The mounts, parents first, in order of mounting.
  std::vector<Ref<Mount>> list() const EXCLUDES(mount_tree_mutex);
  // /proc/PID/mounts and /proc/PID/mountinfo as read by a process with this root.
  std::string mounts_text(const Path& root) const;
  std::string mountinfo_text(const Path& root) const;
  // Rises with each change: poll(2) of /proc/PID/mounts.
  uint64_t generation() const { return generation_.load(); }

  USK_FIELDS(id_, owner_, root_, mounts_)

 private:
  MountNamespace() = default;
  void adopt_locked(const Ref<Mount>& mount) REQUIRES(mount_tree_mutex);
  void link_locked(const Ref<Mount>& mount, const Path& at) REQUIRES(mount_tree_mutex);
  void unlink_locked(Mount& mount) REQUIRES(mount_tree_mutex);
  Result<void> check_place_locked(const Path& at, const Mount& mount) const
      REQUIRES(mount_tree_mutex);
  void detach_tree_locked(const Ref<Mount>& top, std::vector<Ref<Mount>>& dropped)
      REQUIRES(mount_tree_mutex);
  Ref<Mount> copy_tree_locked(const Path& from, bool recursive,
                              std::map<const Mount*, Ref<Mount>>& copies) const
      REQUIRES(mount_tree_mutex);

  uint64_t id_ = 0;
  Ref<UserNamespace> owner_;
  Ref<Mount> root_ GUARDED_BY(mount_tree_mutex);
  std::vector<Ref<Mount>> mounts_ GUARDED_BY(mount_tree_mutex);  // In order of mounting.
  std::atomic<uint64_t> generation_{1};
};

}  // namespace usk
