#include "kernel/futex/futex.h"

#include "fs/vfs/saving.h"
#include "kernel/kernel.h"

namespace usk {

USK_SAVED(FutexWaiter, "kernel/futex_waiter")

FutexTable& futexes() {
  static FutexTable table;
  return table;
}

Result<ResolvedKey> futex_key(Task& t, uint64_t addr, bool shared) {
  if (addr % 4) return Err(EINVAL);
  if (addr >= platform::kGuestEnd) return Err(EFAULT);
  ResolvedKey r;
  if (shared) {
    auto vma = t.mm->find(addr);
    if (!vma) return Err(EFAULT);
    const uint64_t offset = vma->offset + (addr - vma->start);
    if (vma->has(Vma::kShared) && vma->file) {
      Inode& inode = vma->file->inode();
      r.holder = Ref<Inode>::share(&inode);
      r.key = {&inode, offset};
      return r;
    }
  }
  r.holder = t.mm;
  r.key = {t.mm.get(), addr | uint64_t(shared)};
  return r;
}

void FutexTable::enqueue(FutexWaiter& w) {
  Lock lock(mu_);
  w.queued = true;
  w.woken_index = -1;
  count_locked(w, true);
  for (size_t i = 0; i < w.entries.size(); i++) {
    w.entries[i].woken = false;
    queues_[w.entries[i].key].push_back({&w, i});
  }
}

// Its task may be in another space by the end of the wait (exec), but dequeues before.
void FutexTable::count_locked(FutexWaiter& w, bool waits) {
  if (w.counted == waits || (waits && !w.is_private())) return;
  w.counted = waits;
  const auto it = private_waiters_.try_emplace(w.task->mm.get()).first;
  it->second += waits ? 1 : -1;
  if (it->second == 0) private_waiters_.erase(it);
}

bool FutexTable::has_private_waiters(const AddressSpace& mm) {
  Lock lock(mu_);
  return private_waiters_.contains(&mm);
}

void FutexTable::number() {
  Lock lock(mu_);
  for (auto& [key, queue] : queues_) {
    uint64_t place = 0;
    for (const Place& p : queue) p.waiter->entries[p.index].place = place++;
  }
}

void FutexTable::enqueue_again(FutexWaiter& w) {
  Lock lock(mu_);
  count_locked(w, true);
  for (size_t i = 0; i < w.entries.size(); i++) {
    const auto& e = w.entries[i];
    // Who was woken or handed the futex has left the queue already.
    if (e.woken) continue;
    auto& queue = queues_[e.key];
    const auto behind = std::ranges::find_if(
        queue, [&](const Place& p) { return p.waiter->entries[p.index].place > e.place; });
    queue.insert(behind, {&w, i});
  }
}

bool FutexWaiter::is_private() const {
  auto is_private = [this](const FutexKey& key) {
    return key.object == task->mm.get() && key.offset % 2 == 0;
  };
  if (requeue_to && is_private(requeue_to->key)) return true;
  return std::ranges::any_of(entries, [&](const Entry& e) { return is_private(e.key); });
}

OrFailure<void> FutexWaiter::restored(state::Restored&) {
  auto fits = [](const FutexKey& key, const Ref<RefCounted>& holder) {
    return key.object && key.object == holder.get();
  };
  if (!task || task->futex.get() != this) return fail("a wait for a futex that nobody is in");
  if (woken_index >= int(entries.size())) return fail("no such futex");
  for (const Entry& e : entries) {
    if (!fits(e.key, e.holder)) return fail("a futex without its memory");
  }
  if (requeue_to && !fits(requeue_to->key, requeue_to->holder)) {
    return fail("a futex without its memory");
  }
  if (queued) futexes().enqueue_again(*this);
  return {};
}

void FutexTable::dequeue(FutexWaiter& w) {
  Lock lock(mu_);
  if (!w.queued) return;
  w.queued = false;
  count_locked(w, false);
  for (auto& e : w.entries) {
    auto it = queues_.find(e.key);
    if (it == queues_.end()) continue;
    it->second.remove_if([&](const Place& p) { return p.waiter == &w; });
    if (it->second.empty()) queues_.erase(it);
  }
}

bool FutexTable::was_woken(FutexWaiter& w) {
  Lock lock(mu_);
  return w.woken_index >= 0;
}

void FutexTable::mark_woken_locked(Place p) {
  p.waiter->entries[p.index].woken = true;
  if (p.waiter->woken_index < 0) p.waiter->woken_index = int(p.index);
  p.waiter->task->kernel.scheduler.wake(*p.waiter->task);
}

int FutexTable::wake(const FutexKey& key, int count, uint32_t bitset) {
  Lock lock(mu_);
  auto it = queues_.find(key);
  if (it == queues_.end()) return 0;
  int n = 0;
  auto& queue = it->second;
  for (auto p = queue.begin(); p != queue.end() && n < count;) {
    if (!(p->waiter->entries[p->index].bitset & bitset)) {
      ++p;
      continue;
    }
    mark_woken_locked(*p);
    p = queue.erase(p);
    n++;
  }
  if (queue.empty()) queues_.erase(it);
  return n;
}

int FutexTable::requeue(const FutexKey& from, const ResolvedKey& to, int count, int move) {
  int n = wake(from, count, ~0u);
  Lock lock(mu_);
  auto it = queues_.find(from);
  if (it == queues_.end() || from == to.key) return n;
  auto& target = queues_[to.key];
  auto& queue = queues_[from];
  for (; move > 0 && !queue.empty(); move--, n++) {
    Place p = queue.front();
    queue.pop_front();
    p.waiter->entries[p.index].key = to.key;
    p.waiter->entries[p.index].holder = to.holder;
    target.push_back(p);
  }
  if (queue.empty()) queues_.erase(from);
  if (target.empty()) queues_.erase(to.key);
  return n;
}

Result<Ref<Task>> FutexTable::first_to_requeue(const FutexKey& from, const FutexKey& to) {
  Lock lock(mu_);
  auto it = queues_.find(from);
  if (it == queues_.end()) return Ref<Task>();
  const FutexWaiter& w = *it->second.front().waiter;
  if (!w.requeue_to || w.requeue_to->key != to) return Err(EINVAL);
  return Ref<Task>::share(w.task);
}

bool FutexTable::requeue_to_pi(const FutexKey& from, const ResolvedKey& to, const Task& waiter,
                               bool owns) {
  Lock lock(mu_);
  auto it = queues_.find(from);
  if (it == queues_.end() || it->second.front().waiter->task != &waiter) return false;
  const Place p = it->second.front();
  it->second.pop_front();
  if (it->second.empty()) queues_.erase(it);
  FutexWaiter& w = *p.waiter;
  w.requeue_to.reset();
  w.is_pi = true;
  if (owns) {
    w.got_pi = true;
    mark_woken_locked(p);
    return true;
  }
  w.entries[p.index].key = to.key;
  w.entries[p.index].holder = to.holder;
  queues_[to.key].push_back(p);
  return true;
}

Task* FutexTable::first_waiter(const FutexKey& key) {
  Lock lock(mu_);
  auto it = queues_.find(key);
  return it == queues_.end() ? nullptr : it->second.front().waiter->task;
}

Task* FutexTable::hand_over(const FutexKey& key, bool& more) {
  Lock lock(mu_);
  auto it = queues_.find(key);
  if (it == queues_.end()) return nullptr;
  Place best = it->second.front();
  for (const Place& p : it->second) {
    if (p.waiter->task->realtime_priority > best.waiter->task->realtime_priority) best = p;
  }
  it->second.remove_if([&](const Place& p) { return p.waiter == best.waiter; });
  more = !it->second.empty();
  if (!more) queues_.erase(it);
  best.waiter->got_pi = true;
  mark_woken_locked(best);
  return best.waiter->task;
}

size_t FutexTable::waiters(const FutexKey& key) {
  Lock lock(mu_);
  auto it = queues_.find(key);
  return it == queues_.end() ? 0 : it->second.size();
}

bool FutexTable::has_pi_waiter(const FutexKey& key) {
  Lock lock(mu_);
  auto it = queues_.find(key);
  if (it == queues_.end()) return false;
  const FutexWaiter& w = *it->second.front().waiter;
  return w.is_pi || w.requeue_to;
}

void wake_futex(Task& t, uint64_t addr, int count) {
  if (auto key = futex_key(t, addr, /*shared=*/true)) futexes().wake(key->key, count, ~0u);
}

}  // namespace usk
