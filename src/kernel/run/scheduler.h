// Which tasks are to be advanced.
#pragma once
#include <deque>

#include "base/lock.h"
#include "kernel/task/task.h"

namespace usk {

// Tasks that are ready for a worker, in order. A task is in one place (Task::where): parked,
// queued, running (a worker advances it), in the guest, or gone.
class Scheduler {
 public:
  void add(Task& t) EXCLUDES(mu_);
  // Makes a parked task runnable; one that a worker advances will not park.
  void wake(Task& t) EXCLUDES(mu_);
  // wake(), and a task in the guest is interrupted.
  void kick(Task& t) EXCLUDES(mu_);
  // The next task, now running; null when none is ready.
  Ref<Task> next() EXCLUDES(mu_);
  bool idle() const { return ready_count_.load(std::memory_order_acquire) == 0; }
  // Whether it runs or is ready to.
  bool is_active(const Task& t) EXCLUDES(mu_);
  // The same, but for one that the guest says to sleep there (platform::Thread::sleeps_in()).
  bool is_busy(const Task& t) EXCLUDES(mu_);
  // Whether a task is in the guest.
  bool guest_runs() EXCLUDES(mu_);

  // By the worker that runs it. False: a wake-up came meanwhile, go on.
  bool park(Task& t) EXCLUDES(mu_);
  bool enter_guest(Task& t) EXCLUDES(mu_);
  void finish(Task& t) EXCLUDES(mu_);
  // The platform reported a trap: Task::trap is set.
  void trapped(Task& t) EXCLUDES(mu_);
  // By the worker that runs it: the task goes to the end of the queue.
  void yield(Task& t) EXCLUDES(mu_);

 private:
  void queue_locked(Task& t) REQUIRES(mu_);
  Mutex<Rank::kRunQueue> mu_;
  std::deque<Ref<Task>> ready_ GUARDED_BY(mu_);
  std::atomic<size_t> ready_count_{0};  // Its size.
  size_t in_guest_ GUARDED_BY(mu_) = 0;
};

}  // namespace usk
