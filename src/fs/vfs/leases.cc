#include "fs/vfs/leases.h"

#include <fcntl.h>

#include <algorithm>

namespace usk {
namespace {

std::atomic<int> count{0};

// How much a lease keeps others out: F_UNLCK, F_RDLCK, F_WRLCK.
int strength(int type) { return type == F_WRLCK ? 2 : type == F_RDLCK ? 1 : 0; }

}  // namespace

WaitQueue& Leases::queue() {
  static auto* q = new WaitQueue;
  return *q;
}

bool Leases::any() { return count.load(std::memory_order_relaxed) > 0; }

bool Leases::empty() {
  Lock lock(mu_);
  return leases_.empty();
}

void Leases::count_loaded() {
  Lock lock(mu_);
  count += int(leases_.size());
}

Result<void> Leases::set(uint64_t file_id, int type, Ref<FileSignaller> holder) {
  Ref<FileSignaller> dropped;
  {
    Lock lock(mu_);
    auto mine = std::ranges::find(leases_, file_id, &Lease::file_id);
    if (type == F_UNLCK) {
      if (mine == leases_.end()) return Err(EAGAIN);
      dropped = std::move(mine->holder);
      leases_.erase(mine);
      count--;
    } else {
      for (const Lease& other : leases_) {
        if (other.file_id == file_id) continue;
        if (type == F_WRLCK || other.type == F_WRLCK) return Err(EAGAIN);
      }
      if (mine == leases_.end()) {
        leases_.push_back({file_id, type, type, std::move(holder)});
        count++;
        return {};
      }
      if (mine->target != mine->type && strength(type) > strength(mine->target)) {
        return Err(EAGAIN);
      }
      mine->type = mine->target = type;
      dropped = std::exchange(mine->holder, std::move(holder));
    }
  }
  if (dropped) dropped->file_gone();
  queue().wake(POLLIN);
  return {};
}

int Leases::of(uint64_t file_id) {
  Lock lock(mu_);
  auto mine = std::ranges::find(leases_, file_id, &Lease::file_id);
  return mine == leases_.end() ? F_UNLCK : mine->target;
}

void Leases::drop_file(uint64_t file_id) {
  // EAGAIN: it had none.
  (void)set(file_id, F_UNLCK, {});
}

Result<void> Leases::check_open(bool writes, bool force) {
  std::vector<Ref<FileSignaller>> told;
  bool waits = false;
  {
    Lock lock(mu_);
    for (Lease& l : leases_) {
      const int allowed = writes ? F_UNLCK : F_RDLCK;
      if (strength(l.type) <= strength(allowed)) continue;
      if (force) {
        l.type = l.target = allowed;
        continue;
      }
      waits = true;
      if (strength(l.target) <= strength(allowed)) continue;  // It knows.
      l.target = allowed;
      told.push_back(l.holder);
    }
    count -= int(std::erase_if(leases_, [](const Lease& l) { return l.type == F_UNLCK; }));
  }
  for (const auto& holder : told) holder->notify(kMessage);
  if (force) queue().wake(POLLIN);
  if (waits) return Err(EAGAIN);
  return {};
}

}  // namespace usk
