// rename(2), renameat2(2).
#include <linux/fs.h>

#include "fs/vfs/mount_tree.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/vfs_ops.h"

namespace usk::vfs {
namespace {

using Kind = LastComponent::Kind;

// One rename between directories at a time, so that two cannot make a circle of each other.
Mutex<Rank::kRename> rename_mutex;

struct Move {
  const WalkContext& ctx;
  const LastComponent& from;
  const LastComponent& to;
  uint32_t flags;
  Ref<Dentry> source, target;  // Of from and to.
  bool same = false;           // Two names of one file: nothing to do.
  // These were found to be mountpoints of other namespaces at most.
  Ref<Dentry> cleared_source = {}, cleared_target = {};

  Path from_dir() const { return from.parent; }
  Path to_dir() const { return to.parent; }
};

Result<void> check_names(Move& m) {
  if (m.source->is_negative()) return Err(ENOENT);
  const bool is_dir = m.source->inode()->is_dir();
  if (!m.target->is_negative() && (m.flags & RENAME_NOREPLACE)) return Err(EEXIST);
  if (m.flags & RENAME_EXCHANGE) {
    if (m.target->is_negative()) return Err(ENOENT);
    if (!m.target->inode()->is_dir() && m.to.trailing_slash) return Err(ENOTDIR);
  }
  if (!is_dir) {
    if (m.from.trailing_slash) return Err(ENOTDIR);
    if (!(m.flags & RENAME_EXCHANGE) && m.to.trailing_slash) return Err(ENOTDIR);
  }
  // A directory may not move below itself, nor onto what holds it.
  if (m.to.parent.dentry->is_below_or_same(*m.source)) return Err(EINVAL);
  if (!m.target->is_negative() && m.from.parent.dentry->is_below_or_same(*m.target)) {
    return Err(m.flags & RENAME_EXCHANGE ? EINVAL : ENOTEMPTY);
  }
  m.same = m.target->inode() == m.source->inode();
  return {};
}

Result<void> check_allowed(const Move& m) {
  const bool is_dir = m.source->inode()->is_dir();
  TRY(check_writable(m.from.parent));
  TRY(may_delete(m.ctx, m.from.parent, *m.source, is_dir));
  if (m.target->is_negative()) {
    TRY(may_create(m.ctx, m.to.parent));
  } else {
    const bool target_dir = m.flags & RENAME_EXCHANGE ? m.target->inode()->is_dir() : is_dir;
    TRY(may_delete(m.ctx, m.to.parent, *m.target, target_dir));
  }
  // A directory that changes its parent changes its "..".
  if (m.from.parent.dentry != m.to.parent.dentry) {
    if (is_dir) TRY(m.source->inode()->permission(kMayWrite, *m.ctx.creds));
    if ((m.flags & RENAME_EXCHANGE) && m.target->inode()->is_dir()) {
      TRY(m.target->inode()->permission(kMayWrite, *m.ctx.creds));
    }
  }
  const bool mounted = m.source->is_mountpoint() || m.target->is_mountpoint();
  const bool looked_at = m.source == m.cleared_source && m.target == m.cleared_target;
  if (mounted && !looked_at) return Err(EBUSY);
  return {};
}

// With both directories' mutexes held.
Result<void> rename_locked(Move& m) NO_THREAD_SAFETY_ANALYSIS {
  Dentry& from_dir = *m.from.parent.dentry;
  Dentry& to_dir = *m.to.parent.dentry;
  m.source = TRY(from_dir.lookup_locked(m.from.name));
  m.target = TRY(to_dir.lookup_locked(m.to.name));
  TRY(check_names(m));
  if (m.same) return {};
  TRY(check_allowed(m));
  Inode* over = m.target->inode();
  TRY(from_dir.inode()->rename(m.from.name, *m.source->inode(), *to_dir.inode(), m.to.name, over,
                               m.flags));
  if (m.flags & RENAME_EXCHANGE) {
    from_dir.exchange_locked(m.source, to_dir, m.target);
  } else {
    from_dir.move_locked(m.source, to_dir, m.to.name);
  }
  return {};
}

void tell(const Move& m) {
  if (!anyone_watches()) return;
  Inode& from_dir = m.from.parent.inode();
  Inode& to_dir = m.to.parent.inode();
  const uint32_t dir_bit = m.source->inode()->is_dir() ? IN_ISDIR : 0;
  uint32_t cookie = next_move_cookie();
  notify_dir(from_dir, IN_MOVED_FROM | dir_bit, m.from.name, cookie);
  notify_dir(to_dir, IN_MOVED_TO | dir_bit, m.to.name, cookie);
  notify_inode(*m.source->inode(), IN_MOVE_SELF);
  if (m.target->is_negative()) return;
  if (!(m.flags & RENAME_EXCHANGE)) {
    if (!m.target->inode()->is_dir()) notify_inode(*m.target->inode(), IN_ATTRIB);
    return;
  }
  const uint32_t target_bit = m.target->inode()->is_dir() ? IN_ISDIR : 0;
  cookie = next_move_cookie();
  notify_dir(to_dir, IN_MOVED_FROM | target_bit, m.to.name, cookie);
  notify_dir(from_dir, IN_MOVED_TO | target_bit, m.from.name, cookie);
  notify_inode(*m.target->inode(), IN_MOVE_SELF);
}

// What the policy says of the names, and of what they would come to allow.
Result<void> ask_to_move(const LastComponent& from, const LastComponent& to, uint32_t flags) {
  TRY(ask(Category::kRename, from.parent, from.name));
  TRY(ask(Category::kRename, to.parent, to.name));
  if (flags & RENAME_WHITEOUT) TRY(ask(Category::kMkcdev, from.parent, from.name));
  const Path source(from.parent.mount, TRY(from.parent.dentry->lookup(from.name)));
  if (!source.dentry->is_negative()) {
    TRY(installed_guard->move(source, to.parent, to.name, true));
  }
  if (!(flags & RENAME_EXCHANGE)) return {};
  const Path target(to.parent.mount, TRY(to.parent.dentry->lookup(to.name)));
  if (target.dentry->is_negative()) return {};
  return installed_guard->move(target, from.parent, from.name, true);
}

Result<void> rename_in_order(Move& m) {
  Dentry& from_dir = *m.from.parent.dentry;
  Dentry& to_dir = *m.to.parent.dentry;
  if (&from_dir == &to_dir) {
    Lock lock(from_dir.mutex());
    return rename_locked(m);
  }
  Lock order(rename_mutex);
  LockBoth lock(from_dir.mutex(), to_dir.mutex());
  return rename_locked(m);
}

// Whether other namespaces' mounts alone were in the way; looked at without the locks.
bool mounted_elsewhere_only(const Move& m) {
  if (!m.source->is_mountpoint() && !m.target->is_mountpoint()) return false;
  const MountNamespace& ns = *m.ctx.mounts;
  return !is_mountpoint_in(ns, *m.source) && !is_mountpoint_in(ns, *m.target);
}

}  // namespace

Result<void> rename(const WalkContext& ctx, const Path& from_at, std::string_view from_path,
                    const Path& to_at, std::string_view to_path, uint32_t flags) {
  if (flags & ~uint32_t(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) return Err(EINVAL);
  if ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT))) {
    return Err(EINVAL);
  }
  const LastComponent from = TRY(walk_parent(ctx, from_at, from_path, 0));
  const LastComponent to = TRY(walk_parent(ctx, to_at, to_path, 0));
  if (from.parent.mount != to.parent.mount) return Err(EXDEV);
  if (from.kind != Kind::kName) return Err(EBUSY);
  if (to.kind != Kind::kName) return Err(flags & RENAME_NOREPLACE ? EEXIST : EBUSY);
  if (installed_guard) TRY(ask_to_move(from, to, flags));
  Move m{ctx, from, to, flags, {}, {}};
  auto done = rename_in_order(m);
  if (failed_with(done, EBUSY) && m.source && m.target && mounted_elsewhere_only(m)) {
    m.cleared_source = m.source;
    m.cleared_target = m.target;
    done = rename_in_order(m);
  }
  TRY(std::move(done));
  const bool replaced = !m.same && !(flags & RENAME_EXCHANGE) && !m.target->is_negative();
  if (replaced && m.target->is_mountpoint()) unmount_everywhere(*m.target);
  if (!m.same) tell(m);
  return {};
}

}  // namespace usk::vfs
