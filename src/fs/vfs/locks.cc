#include "fs/vfs/locks.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <unordered_map>

namespace usk {
namespace {

// Linux has no such limit per file, but charges locks to memory; here they are counted.
constexpr size_t kMaxRecords = 65536;
// As Linux, which gives up looking for circles after so many steps.
constexpr int kMaxDeadlockSteps = 10;

bool overlaps(const RecordLock& a, const RecordLock& b) {
  return a.start <= b.end && b.start <= a.end;
}

bool conflicts(const RecordLock& a, const RecordLock& b) {
  return !(a.owner == b.owner) && overlaps(a, b) && (a.type == F_WRLCK || b.type == F_WRLCK);
}

// Which descriptor table waits for which: POSIX waits of all files.
Mutex<Rank::kLeaf> waits_mutex;
std::unordered_map<uint64_t, uint64_t> waits GUARDED_BY(waits_mutex);

}  // namespace

Result<void> FileLocks::flock(uint64_t file_id, int operation, int pid) {
  const int type = operation & (LOCK_SH | LOCK_EX | LOCK_UN);
  bool dropped = false, refused = false;
  {
    Lock lock(mu_);
    auto mine = std::find_if(flocks_.begin(), flocks_.end(),
                             [&](const Flock& f) { return f.file_id == file_id; });
    if (mine != flocks_.end()) {
      if (mine->type == type) return {};
      flocks_.erase(mine);
      dropped = true;
    }
    if (type != LOCK_UN) {
      refused = std::any_of(flocks_.begin(), flocks_.end(),
                            [&](const Flock& f) { return f.type == LOCK_EX || type == LOCK_EX; });
      if (!refused) flocks_.push_back({file_id, type, pid});
    }
  }
  if (dropped) queue_.wake(POLLIN);
  if (refused) return Err(EAGAIN);
  return {};
}

const RecordLock* FileLocks::find_conflict_locked(const RecordLock& lock) const {
  for (const RecordLock& r : records_) {
    if (conflicts(r, lock)) return &r;
  }
  return nullptr;
}

Result<void> FileLocks::set(const RecordLock& wanted) {
  {
    Lock lock(mu_);
    if (wanted.type != F_UNLCK && find_conflict_locked(wanted)) return Err(EAGAIN);
    // Own locks give way in the range; what sticks out on either side stays.
    std::vector<RecordLock> kept;
    RecordLock merged = wanted;
    for (const RecordLock& r : records_) {
      if (!(r.owner == wanted.owner)) {
        kept.push_back(r);
        continue;
      }
      const bool touches = (r.end == INT64_MAX || r.end + 1 >= wanted.start) &&
                           (wanted.end == INT64_MAX || wanted.end + 1 >= r.start);
      if (r.type == wanted.type && touches) {
        merged.start = std::min(merged.start, r.start);
        merged.end = std::max(merged.end, r.end);
        continue;
      }
      if (!overlaps(r, wanted)) {
        kept.push_back(r);
        continue;
      }
      if (r.start < wanted.start) {
        kept.push_back(r);
        kept.back().end = wanted.start - 1;
      }
      if (r.end > wanted.end) {
        kept.push_back(r);
        kept.back().start = wanted.end + 1;
      }
    }
    if (wanted.type != F_UNLCK) kept.push_back(merged);
    if (kept.size() > kMaxRecords && kept.size() > records_.size()) return Err(ENOLCK);
    std::sort(kept.begin(), kept.end(),
              [](const RecordLock& a, const RecordLock& b) { return a.start < b.start; });
    records_ = std::move(kept);
  }
  queue_.wake(POLLIN);  // A range may have become free, or shared.
  return {};
}

Result<void> FileLocks::begin_wait(const RecordLock& wanted) {
  if (wanted.owner.kind != LockOwner::Kind::kPosix) return {};
  Lock lock(mu_);
  const RecordLock* blocker = find_conflict_locked(wanted);
  if (!blocker || blocker->owner.kind != LockOwner::Kind::kPosix) return {};
  Lock waits_lock(waits_mutex);
  uint64_t at = blocker->owner.id;
  for (int i = 0; i < kMaxDeadlockSteps; i++) {
    if (at == wanted.owner.id) return Err(EDEADLK);
    auto it = waits.find(at);
    if (it == waits.end()) break;
    at = it->second;
  }
  waits[wanted.owner.id] = blocker->owner.id;
  return {};
}

void FileLocks::end_wait(const LockOwner& owner) {
  if (owner.kind != LockOwner::Kind::kPosix) return;
  Lock lock(waits_mutex);
  waits.erase(owner.id);
}

std::optional<RecordLock> FileLocks::conflict(const RecordLock& wanted) {
  Lock lock(mu_);
  const RecordLock* r = find_conflict_locked(wanted);
  return r ? std::optional(*r) : std::nullopt;
}

void FileLocks::drop_owner(const LockOwner& owner) {
  {
    Lock lock(mu_);
    if (!std::erase_if(records_, [&](const RecordLock& r) { return r.owner == owner; })) return;
  }
  queue_.wake(POLLIN);
}

void FileLocks::drop_file(uint64_t file_id) {
  size_t n;
  {
    Lock lock(mu_);
    n = std::erase_if(flocks_, [&](const Flock& f) { return f.file_id == file_id; });
    const LockOwner owner{LockOwner::Kind::kOfd, file_id, -1};
    n += std::erase_if(records_, [&](const RecordLock& r) { return r.owner == owner; });
  }
  if (n) queue_.wake(POLLIN);
  if (Leases::any()) leases.drop_file(file_id);
}

bool FileLocks::empty() {
  Lock lock(mu_);
  return records_.empty() && flocks_.empty() && leases.empty();
}

std::vector<FileLocks::Shown> FileLocks::list() {
  std::vector<Shown> out;
  Lock lock(mu_);
  for (const RecordLock& r : records_) out.push_back({r, false});
  for (const Flock& f : flocks_) {
    RecordLock r{{LockOwner::Kind::kOfd, f.file_id, f.pid}, f.type == LOCK_EX ? F_WRLCK : F_RDLCK};
    out.push_back({r, true});
  }
  return out;
}

}  // namespace usk
