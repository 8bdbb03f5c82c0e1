// Advisory locks: flock(2), and POSIX and open-file-description locks of fcntl(2).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/budget.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"
#include "fs/vfs/leases.h"
#include "fs/vfs/lock_tree.h"

namespace usk {

class Inode;

// The locks of one inode; Inode::locks(). A lock that has to wait is refused with EAGAIN, and
// queue() tells when to try again.
class FileLocks {
 public:
  // LOCK_SH, LOCK_EX (a conversion drops the old lock first, as Linux) or LOCK_UN, for the open
  // file `file_id`. `pid` is who asks, for /proc/locks.
  Result<void> flock(uint64_t file_id, int operation, int pid = 0) EXCLUDES(mu_);
  // F_SETLK of F_RDLCK, F_WRLCK, F_UNLCK. ENOLCK: too many locks.
  Result<void> set(const RecordLock& lock) EXCLUDES(mu_);
  // F_SETLKW's first half after EAGAIN: notes whom `lock.owner` waits for; EDEADLK when that
  // closes a circle of POSIX waits. end_wait() when the wait is over, however it ended.
  Result<void> begin_wait(const RecordLock& lock) EXCLUDES(mu_);
  static void end_wait(const LockOwner& owner);
  // F_GETLK: the first lock in the way of `lock`, if any.
  std::optional<RecordLock> conflict(const RecordLock& lock) EXCLUDES(mu_);
  // close(2): drops all record locks of an owner; all of an open file's flock and OFD locks.
  void drop_owner(const LockOwner& owner) EXCLUDES(mu_);
  void drop_file(uint64_t file_id) EXCLUDES(mu_);
  WaitQueue& queue() { return queue_; }

  Leases leases;

  // For /proc/locks.
  struct Shown {
    RecordLock lock;
    bool is_flock;
  };
  std::vector<Shown> list() EXCLUDES(mu_);

  bool empty() EXCLUDES(mu_);

  // Saved as lists.
  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    std::vector<RecordLock> records;
    std::vector<Flock> flocks;
    if constexpr (SavesState<A>) {
      records = tree_.all();
      for (const auto& [id, f] : flocks_) flocks.push_back(f);
    }
    ar.all("records_, flocks_, leases", records, flocks, leases);
    if constexpr (A::kLoading) {
      if (!ar.failed() && !load(records, flocks)) ar.fail("locks that cannot be");
    }
  }

 private:
  struct Flock {
    uint64_t file_id;
    int type;
    int pid;
    USK_FIELDS(file_id, type, pid)
  };
  using Ranges = std::map<int64_t, RecordLock>;  // One owner's, by start; they do not touch.
  // What one owner's locks become.
  struct Step {
    std::vector<RecordLock> removed, added;
  };
  static Step plan(const Ranges& own, const RecordLock& wanted);
  Result<void> set_locked(const RecordLock& wanted) REQUIRES(mu_);
  size_t drop_owner_locked(const LockOwner& owner) REQUIRES(mu_);
  bool load(const std::vector<RecordLock>& records, const std::vector<Flock>& flocks) EXCLUDES(mu_);

  Mutex<Rank::kFileLocks> mu_;
  LockTree tree_ GUARDED_BY(mu_);  // All records, and by owner:
  std::map<std::pair<LockOwner::Kind, uint64_t>, Ranges> owners_ GUARDED_BY(mu_);
  std::map<uint64_t, Flock> flocks_ GUARDED_BY(mu_);  // By open file.
  size_t exclusive_flocks_ GUARDED_BY(mu_) = 0;
  Charge charge_ GUARDED_BY(mu_);  // Of the records.
  WaitQueue queue_;
};

// For /proc/locks: the inodes whose locks() were asked for.
std::vector<Ref<Inode>> inodes_with_locks();

}  // namespace usk
