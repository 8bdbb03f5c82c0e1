// Waiting for something to become ready, without a host thread that blocks.
#pragma once
#include <poll.h>

#include <cstdint>
#include <vector>

#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"

namespace usk {

// Events as poll(2) and epoll(7) name them (POLLIN == EPOLLIN and so on).
using PollMask = uint32_t;

// A point in guest monotonic time, in nanoseconds.
struct Deadline {
  int64_t ns = INT64_MAX;
  bool infinite() const { return ns == INT64_MAX; }
  friend bool operator==(Deadline, Deadline) = default;
  USK_FIELDS(ns)
};

// Who is told. notify() may run on any thread and with no lock of a rank below kEpollReady
// free to take: it only marks and wakes, and may come once more after remove().
class Waiter : public RefCounted {
 public:
  virtual void notify(PollMask events) = 0;
  // notify() of an exclusive waiter. False: nobody here is free to act on it, so the next
  // exclusive waiter is to be told as well.
  virtual bool notify_exclusive(PollMask events) {
    notify(events);
    return true;
  }
};

// The wait queue of an object that can become ready. Derived state: never saved.
class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;

  // `w` is told of every wake() that shares a bit with `mask` (POLLERR and POLLHUP always).
  // An exclusive waiter is told only if no exclusive waiter before it took the event.
  void add(Ref<Waiter> w, PollMask mask, bool exclusive = false) EXCLUDES(mu_);
  // Forgets every registration of `w`.
  void remove(Waiter* w) EXCLUDES(mu_);
  // Tells the waiters; notify() is called with no lock of the queue held.
  void wake(PollMask events) EXCLUDES(mu_);
  bool empty() EXCLUDES(mu_);

 private:
  struct Entry {
    Ref<Waiter> waiter;
    PollMask mask;
    bool exclusive;
  };
  Mutex<Rank::kWaitQueue> mu_;
  std::vector<Entry> entries_ GUARDED_BY(mu_);
};

}  // namespace usk
