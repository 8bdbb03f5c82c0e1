// Advisory locks: flock(2), and POSIX and open-file-description locks of fcntl(2).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"
#include "fs/vfs/leases.h"

namespace usk {

class Inode;

// Who holds a record lock: a process's descriptor table (POSIX) or an open file (OFD, flock).
// Only compared, never followed.
struct LockOwner {
  enum class Kind : uint8_t { kPosix, kOfd };
  friend constexpr Kind saved_max(Kind) { return Kind::kOfd; }
  Kind kind = Kind::kPosix;
  uint64_t id = 0;  // FdTable's id or File::id().
  int pid = -1;     // l_pid of F_GETLK (a kernel pid); -1 for OFD locks.
  friend bool operator==(const LockOwner& a, const LockOwner& b) {
    return a.kind == b.kind && a.id == b.id;
  }
  USK_FIELDS(kind, id, pid)
};

// A lock on [start, end] (both included; end INT64_MAX: to the end of the file for ever).
struct RecordLock {
  LockOwner owner;
  int type = 0;  // F_RDLCK or F_WRLCK
  int64_t start = 0, end = INT64_MAX;
  USK_FIELDS(owner, type, start, end)
};

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

  USK_FIELDS(records_, flocks_, leases)

 private:
  struct Flock {
    uint64_t file_id;
    int type;
    int pid;
    USK_FIELDS(file_id, type, pid)
  };
  const RecordLock* find_conflict_locked(const RecordLock& lock) const REQUIRES(mu_);

  Mutex<Rank::kFileLocks> mu_;
  std::vector<RecordLock> records_ GUARDED_BY(mu_);  // Sorted by start.
  std::vector<Flock> flocks_ GUARDED_BY(mu_);
  WaitQueue queue_;
};

// For /proc/locks: the inodes whose locks() were asked for.
std::vector<Ref<Inode>> inodes_with_locks();

}  // namespace usk
