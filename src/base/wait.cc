#include "base/wait.h"

#include <algorithm>

namespace usk {

void WaitQueue::add(Ref<Waiter> w, PollMask mask, bool exclusive) {
  Lock lock(mu_);
  entries_.push_back({std::move(w), mask | POLLERR | POLLHUP, exclusive});
}

void WaitQueue::remove(Waiter* w) {
  std::vector<Ref<Waiter>> dropped;  // Released after the lock: the last count may be ours.
  Lock lock(mu_);
  std::erase_if(entries_, [&](Entry& e) {
    if (e.waiter.get() != w) return false;
    dropped.push_back(std::move(e.waiter));
    return true;
  });
}

void WaitQueue::wake(PollMask events) {
  std::vector<Entry> told;
  {
    Lock lock(mu_);
    for (Entry& e : entries_) {
      if (e.mask & events) told.push_back(e);
    }
  }
  bool exclusive_done = false;
  for (Entry& e : told) {
    if (!e.exclusive) {
      e.waiter->notify(events);
    } else if (!exclusive_done) {
      exclusive_done = e.waiter->notify_exclusive(events);
    }
  }
}

bool WaitQueue::empty() {
  Lock lock(mu_);
  return entries_.empty();
}

}  // namespace usk
