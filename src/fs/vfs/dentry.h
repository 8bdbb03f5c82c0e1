// A name in a directory, and the cache of names.
#pragma once
#include <atomic>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/failure.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "fs/vfs/inode.h"

namespace usk {

// One name of a directory, Linux's dentry. Positive (it has an inode) or negative (known to be
// absent); which of the two never changes. A file system has one tree of dentries, shared by all
// of its mounts. A cached dentry is hashed: its parent holds it until it is removed, moved or
// evicted. A dentry that left its parent keeps its name and parent for /proc/PID/fd and getcwd.
class Dentry final : public RefCounted {
 public:
  static Ref<Dentry> make_root(Ref<Inode> inode);
  // A file that stands in no directory; `display` is how /proc/PID/fd shows it, such as
  // "anon_inode:[eventfd]", "pipe:[17]", "/memfd:x (deleted)".
  static Ref<Dentry> make_anonymous(Ref<Inode> inode, std::string display);
  // O_TMPFILE: a file without a name, made in `dir`; link(2) may give it one if `linkable`.
  static Ref<Dentry> make_nameless(Ref<Dentry> dir, Ref<Inode> inode, bool linkable);
  ~Dentry() override;

  Inode* inode() const { return inode_.get(); }
  const Ref<Inode>& inode_ref() const { return inode_; }
  bool is_negative() const { return !inode_; }
  bool is_root() const { return kind_ == Kind::kRoot; }
  bool is_anonymous() const { return kind_ == Kind::kAnonymous; }
  // Its name was removed (unlink, rmdir, rename over it) while it was in use.
  bool deleted() const { return deleted_.load(std::memory_order_acquire); }
  bool linkable() const { return linkable_; }
  std::string name() const;
  Ref<Dentry> parent() const;  // Null for a root.
  bool is_below_or_same(const Dentry& ancestor) const;

  // The dentry of `name` in this directory, negative when there is none. Cached, or asked of
  // the inode.
  Result<Ref<Dentry>> lookup(std::string_view name) EXCLUDES(mu_);
  // ... only if it is cached and may be used without asking; else null.
  Ref<Dentry> cached(std::string_view name) EXCLUDES(mu_);

  // Changes of the directory: hold mutex() over the look-up, the inode's operation and these.
  Mutex<Rank::kDentry>& mutex() RETURNS_LOCK(mu_) { return mu_; }
  Result<Ref<Dentry>> lookup_locked(std::string_view name) REQUIRES(mu_);
  // `name` now stands for `inode`.
  Ref<Dentry> add_locked(std::string_view name, Ref<Inode> inode) REQUIRES(mu_);
  // The name of `child` was removed.
  void remove_locked(Dentry& child) REQUIRES(mu_);
  // `child` of this directory now stands at `name` of `to` (maybe the same directory).
  void move_locked(Ref<Dentry> child, Dentry& to, std::string_view name) NO_THREAD_SAFETY_ANALYSIS;
  // Exchanges the places of `a` in this directory and `b` in `other`.
  void exchange_locked(Ref<Dentry> a, Dentry& other, Ref<Dentry> b) NO_THREAD_SAFETY_ANALYSIS;

  // How many mounts stand here; the mount tree keeps it (mount.cc).
  bool is_mountpoint() const { return mounts_.load(std::memory_order_acquire) > 0; }
  void count_mount(int delta) { mounts_.fetch_add(delta, std::memory_order_acq_rel); }

  // Drops every cached dentry below that nobody uses.
  void prune();
  // Most dentries that may be cached over all file systems; the rest is evicted, oldest first.
  static void set_cache_limit(size_t limit);
  static size_t cached_count();

  USK_FIELDS(name_, parent_, inode_, kind_, linkable_, deleted_, hashed_)
  OrFailure<void> restored(state::Restored&);

 private:
  enum class Kind : uint8_t { kNormal, kRoot, kAnonymous };
  friend constexpr Kind saved_max(Kind) { return Kind::kAnonymous; }
  friend class DentryCache;
  friend state::Access;
  explicit Dentry(Blank) : kind_(Kind::kNormal) {}
  Dentry(Kind kind, Ref<Dentry> parent, std::string name, Ref<Inode> inode);
  void insert_locked(Ref<Dentry> child) REQUIRES(mu_);
  Ref<Dentry> unhash_locked(Dentry& child) REQUIRES(mu_);
  void relocate(Ref<Dentry> parent, std::string_view name);
  void evict_if_unused(Ref<Dentry> child) EXCLUDES(mu_);
  friend struct PathText;

  std::string name_;    // Guarded by the tree lock (dentry.cc) against moves.
  Ref<Dentry> parent_;  // Likewise.
  Ref<Inode> inode_;    // Never changes.
  Kind kind_;
  bool linkable_ = false;
  std::atomic<bool> deleted_{false};
  std::atomic<int> mounts_{0};
  std::atomic<bool> recently_used_{false};
  Mutex<Rank::kDentry> mu_;
  // Keyed by the child's own name_. Derived: a cache.
  std::unordered_map<std::string_view, Ref<Dentry>> children_ GUARDED_BY(mu_);
  std::list<Dentry*>::iterator lru_;  // Guarded by the cache's lock; valid while hashed.
  bool hashed_ = false;               // Guarded by the mutex of the parent.
};

// d_path: how a path reads from `root`.
struct PathText {
  std::string text;  // Without " (deleted)".
  bool deleted = false;
  bool reachable = true;  // False: it is not below `root`; `text` starts at its topmost mount.
  bool too_long = false;  // It would not fit into PATH_MAX, and `text` is only its end.

  static PathText of(const Path& path, const Path& root);
  // The name of a place up to the topmost root of its tree, whatever root a caller has, written to
  // the end of `room` without an allocation: what policies are asked about. `entry` is a name in
  // it, or empty. What stands in no process's tree begins with "!" and the type of its file
  // system: "!mqueue/NAME". ENAMETOOLONG where it does not fit.
  static Result<std::string_view> name(const Path& path, std::string_view entry,
                                       std::span<char> room);
  // As /proc/PID/fd links and maps show it.
  std::string shown() const { return deleted ? text + " (deleted)" : text; }
};

}  // namespace usk
