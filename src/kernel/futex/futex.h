// futex(2): waiting for a word of guest memory to change.
#pragma once
#include <list>
#include <memory>
#include <unordered_map>

#include "kernel/task/task.h"

namespace usk {

// What a futex is told apart by: the address in one address space, or the place in a file or
// shared memory. Linux: a word of private memory is one futex to who says FUTEX_PRIVATE_FLAG and
// another to who does not.
struct FutexKey {
  const RefCounted* object = nullptr;  // AddressSpace or Inode.
  uint64_t offset = 0;                 // Odd: shared, and an AddressSpace all the same.
  friend bool operator==(const FutexKey&, const FutexKey&) = default;
  USK_FIELDS(object, offset)
};

struct ResolvedKey {
  FutexKey key;
  Ref<RefCounted> holder;  // Keeps key.object alive.
  USK_FIELDS(key, holder)
};

// A task's place in futex queues: one for WAIT, several for futex_waitv(2). Kept over the sleep by
// the call.
struct FutexWaiter {
  struct Entry {
    FutexKey key;
    Ref<RefCounted> holder;  // Keeps key.object alive.
    uint32_t bitset = ~0u;
    bool woken = false;
    uint64_t place = 0;  // In its queue, as FutexTable::number() has found it.
    USK_FIELDS(key, holder, bitset, woken, place)
  };
  FutexWaiter() = default;
  explicit FutexWaiter(Task& t) : task(&t) {}
  Task* task = nullptr;
  std::vector<Entry> entries;
  bool queued = false;
  bool counted = false;  // FutexTable::has_private_waiters().
  int woken_index = -1;
  // Waits for a PI futex, which only an unlock hands over; and it was.
  bool is_pi = false;
  bool got_pi = false;
  // FUTEX_WAIT_REQUEUE_PI: the PI futex that it is to be moved to.
  std::optional<ResolvedKey> requeue_to;

  // Whether it is found only by calls with private futexes that come to the kernel.
  bool is_private() const;
  OrFailure<void> restored(state::Restored&);
  USK_FIELDS(task, entries, queued, woken_index, is_pi, got_pi, requeue_to)
};

// EFAULT for an address that cannot be a shared futex.
Result<ResolvedKey> futex_key(Task& t, uint64_t addr, bool shared);

// The queues of all futexes of a kernel.
class FutexTable {
 public:
  // Queues the waiter's entries and re-checks the words through `still_same`, so that no wake-up in
  // between is lost. False: a word has changed.
  void enqueue(FutexWaiter& w) EXCLUDES(mu_);
  void dequeue(FutexWaiter& w) EXCLUDES(mu_);
  bool was_woken(FutexWaiter& w) EXCLUDES(mu_);
  int wake(const FutexKey& key, int count, uint32_t bitset) EXCLUDES(mu_);
  // Moves up to `move` waiters to another futex after waking `count`; the sum.
  int requeue(const FutexKey& from, const ResolvedKey& to, int count, int move) EXCLUDES(mu_);
  // FUTEX_CMP_REQUEUE_PI, one waiter: who is first in line to be moved from `from` to `to`. Null:
  // nobody waits; EINVAL: someone who waits for something else.
  Result<Ref<Task>> first_to_requeue(const FutexKey& from, const FutexKey& to) EXCLUDES(mu_);
  // Moves it, or (`owns`) wakes it as the owner. False: it is gone.
  bool requeue_to_pi(const FutexKey& from, const ResolvedKey& to, const Task& waiter, bool owns)
      EXCLUDES(mu_);
  // The first waiter on a key, in order of priority then arrival; null when there is none.
  Task* first_waiter(const FutexKey& key) EXCLUDES(mu_);
  // Takes one waiter out of the queue as the new owner of a PI futex.
  Task* hand_over(const FutexKey& key, bool& more) EXCLUDES(mu_);
  size_t waiters(const FutexKey& key) EXCLUDES(mu_);
  bool has_pi_waiter(const FutexKey& key) EXCLUDES(mu_);
  // Whether a task of the space waits for a private futex here, or has not yet looked since it was
  // woken.
  bool has_private_waiters(const AddressSpace& mm) EXCLUDES(mu_);
  // Before a checkpoint: tells each waiter where it stands.
  void number() EXCLUDES(mu_);
  // A waiter that was loaded goes to the place that it had among those that have come so far.
  void enqueue_again(FutexWaiter& w) EXCLUDES(mu_);

 private:
  struct Hash {
    size_t operator()(const FutexKey& k) const {
      return std::hash<const void*>()(k.object) ^ (k.offset * 0x9E3779B97F4A7C15ull >> 16);
    }
  };
  struct Place {
    FutexWaiter* waiter;
    size_t index;
  };
  void mark_woken_locked(Place p) REQUIRES(mu_);
  void count_locked(FutexWaiter& w, bool waits) REQUIRES(mu_);
  Mutex<Rank::kFutex> mu_;
  std::unordered_map<FutexKey, std::list<Place>, Hash> queues_ GUARDED_BY(mu_);
  std::unordered_map<const AddressSpace*, int> private_waiters_ GUARDED_BY(mu_);
};
FutexTable& futexes();

// FUTEX_WAKE on behalf of a task that ends (clear_child_tid, robust lists). Linux: of the shared
// kind.
void wake_futex(Task& t, uint64_t addr, int count);
// The task ends or execs: its robust list is walked (set_robust_list(2)), PI futexes it owns are
// released, and it leaves the queues.
void leave_futexes(Task& t);

}  // namespace usk
