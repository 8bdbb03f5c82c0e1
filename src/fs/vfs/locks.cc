#include "fs/vfs/locks.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <unordered_map>

namespace usk {
namespace {

// Linux has no such limit per file, but charges locks to memory; here they are counted as well.
constexpr size_t kMaxRecords = 65536;
constexpr size_t kBytesOfRecord = 256;
// As Linux, which gives up looking for circles after so many steps.
constexpr int kMaxDeadlockSteps = 10;

// Which descriptor table waits for which: POSIX waits of all files.
Mutex<Rank::kLeaf> waits_mutex;
std::unordered_map<uint64_t, uint64_t> waits GUARDED_BY(waits_mutex);

}  // namespace

Result<void> FileLocks::flock(uint64_t file_id, int operation, int pid) {
  const int type = operation & (LOCK_SH | LOCK_EX | LOCK_UN);
  bool dropped = false, refused = false;
  {
    Lock lock(mu_);
    const auto mine = flocks_.find(file_id);
    if (mine != flocks_.end()) {
      if (mine->second.type == type) return {};
      exclusive_flocks_ -= mine->second.type == LOCK_EX;
      flocks_.erase(mine);
      dropped = true;
    }
    if (type != LOCK_UN) {
      refused = exclusive_flocks_ != 0 || (type == LOCK_EX && !flocks_.empty());
      if (!refused) flocks_[file_id] = {file_id, type, pid};
      exclusive_flocks_ += !refused && type == LOCK_EX;
    }
  }
  if (dropped) queue_.wake(POLLIN);
  if (refused) return Err(EAGAIN);
  return {};
}

// The owner's locks give way in the range; what sticks out on either side stays, and what is of the
// same type and touches becomes one.
FileLocks::Step FileLocks::plan(const Ranges& own, const RecordLock& wanted) {
  Step step;
  RecordLock merged = wanted;
  auto at = own.lower_bound(wanted.start);
  if (at != own.begin()) at--;
  for (; at != own.end(); at++) {
    const RecordLock& r = at->second;
    if (wanted.end != INT64_MAX && r.start > wanted.end + 1) break;
    if (r.end != INT64_MAX && r.end + 1 < wanted.start) continue;
    if (r.type == wanted.type) {
      step.removed.push_back(r);
      merged.start = std::min(merged.start, r.start);
      merged.end = std::max(merged.end, r.end);
    } else if (r.start <= wanted.end && r.end >= wanted.start) {
      step.removed.push_back(r);
      if (r.start < wanted.start) {
        step.added.push_back(r);
        step.added.back().end = wanted.start - 1;
      }
      if (r.end > wanted.end) {
        step.added.push_back(r);
        step.added.back().start = wanted.end + 1;
      }
    }
  }
  if (wanted.type != F_UNLCK) step.added.push_back(merged);
  return step;
}

Result<void> FileLocks::set_locked(const RecordLock& wanted) {
  Ranges& own = owners_[wanted.owner.key()];
  const Step step = plan(own, wanted);
  const size_t count = tree_.size() + step.added.size() - step.removed.size();
  const bool room = step.added.size() <= step.removed.size() ||
                    (count <= kMaxRecords && charge_.set(count * kBytesOfRecord));
  if (room) {
    for (const RecordLock& r : step.removed) tree_.erase(r), own.erase(r.start);
    for (const RecordLock& r : step.added) tree_.insert(r), own[r.start] = r;
    (void)charge_.set(count * kBytesOfRecord);  // Not more than before.
  }
  if (own.empty()) owners_.erase(wanted.owner.key());
  if (!room) return Err(ENOLCK);
  return {};
}

Result<void> FileLocks::set(const RecordLock& wanted) {
  {
    Lock lock(mu_);
    if (wanted.type != F_UNLCK && tree_.in_the_way(wanted)) return Err(EAGAIN);
    TRY(set_locked(wanted));
  }
  queue_.wake(POLLIN);  // A range may have become free, or shared.
  return {};
}

Result<void> FileLocks::begin_wait(const RecordLock& wanted) {
  if (wanted.owner.kind != LockOwner::Kind::kPosix) return {};
  Lock lock(mu_);
  const RecordLock* blocker = tree_.in_the_way(wanted);
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
  const RecordLock* r = tree_.in_the_way(wanted);
  return r ? std::optional(*r) : std::nullopt;
}

size_t FileLocks::drop_owner_locked(const LockOwner& owner) {
  const auto own = owners_.find(owner.key());
  if (own == owners_.end()) return 0;
  const size_t n = own->second.size();
  for (const auto& [start, r] : own->second) tree_.erase(r);
  owners_.erase(own);
  (void)charge_.set(tree_.size() * kBytesOfRecord);  // Not more than before.
  return n;
}

void FileLocks::drop_owner(const LockOwner& owner) {
  {
    Lock lock(mu_);
    if (!drop_owner_locked(owner)) return;
  }
  queue_.wake(POLLIN);
}

void FileLocks::drop_file(uint64_t file_id) {
  size_t n;
  {
    Lock lock(mu_);
    n = drop_owner_locked({LockOwner::Kind::kOfd, file_id, -1});
    if (const auto f = flocks_.find(file_id); f != flocks_.end()) {
      exclusive_flocks_ -= f->second.type == LOCK_EX;
      flocks_.erase(f);
      n++;
    }
  }
  if (n) queue_.wake(POLLIN);
  if (Leases::any()) leases.drop_file(file_id);
}

bool FileLocks::empty() {
  Lock lock(mu_);
  return tree_.size() == 0 && flocks_.empty() && leases.empty();
}

std::vector<FileLocks::Shown> FileLocks::list() {
  std::vector<Shown> out;
  Lock lock(mu_);
  for (const RecordLock& r : tree_.all()) out.push_back({r, false});
  for (const auto& [id, f] : flocks_) {
    RecordLock r{{LockOwner::Kind::kOfd, f.file_id, f.pid}, f.type == LOCK_EX ? F_WRLCK : F_RDLCK};
    out.push_back({r, true});
  }
  return out;
}

bool FileLocks::load(const std::vector<RecordLock>& records, const std::vector<Flock>& flocks) {
  Lock lock(mu_);
  for (const RecordLock& r : records) {
    const bool sound = (r.type == F_RDLCK || r.type == F_WRLCK) && r.start >= 0 && r.start <= r.end;
    if (!sound || tree_.in_the_way(r) || !set_locked(r)) return false;
  }
  for (const Flock& f : flocks) {
    if (f.type != LOCK_SH && f.type != LOCK_EX) return false;
    if (!flocks_.emplace(f.file_id, f).second) return false;
    exclusive_flocks_ += f.type == LOCK_EX;
  }
  return true;
}

}  // namespace usk
