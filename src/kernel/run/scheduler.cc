#include "kernel/run/scheduler.h"

namespace usk {

using Where = Task::Where;

void Scheduler::queue_locked(Task& t) {
  t.where = Where::kQueued;
  ready_.push_back(Ref<Task>::share(&t));
  ready_count_.store(ready_.size(), std::memory_order_release);
}

void Scheduler::add(Task& t) {
  Lock lock(mu_);
  queue_locked(t);
}

void Scheduler::wake(Task& t) {
  Lock lock(mu_);
  if (t.where == Where::kParked) queue_locked(t);
  if (t.where == Where::kRunning) t.wake_pending = true;
}

void Scheduler::kick(Task& t) {
  Lock lock(mu_);
  if (t.where == Where::kParked) queue_locked(t);
  if (t.where == Where::kRunning) t.wake_pending = true;
  if (t.where == Where::kInGuest && t.cpu) t.cpu->interrupt();
}

Ref<Task> Scheduler::next() {
  if (idle()) return {};
  Lock lock(mu_);
  if (ready_.empty()) return {};
  Ref<Task> t = std::move(ready_.front());
  ready_.pop_front();
  ready_count_.store(ready_.size(), std::memory_order_release);
  t->where = Where::kRunning;
  t->wake_pending = false;
  return t;
}

bool Scheduler::is_active(const Task& t) {
  Lock lock(mu_);
  return t.where != Where::kParked && t.where != Where::kGone;
}

bool Scheduler::is_busy(const Task& t) {
  Lock lock(mu_);
  if (t.where == Where::kInGuest) return !t.cpu || !t.cpu->sleeps_in();
  return t.where != Where::kParked && t.where != Where::kGone;
}

bool Scheduler::guest_runs() {
  Lock lock(mu_);
  return in_guest_ > 0;
}

bool Scheduler::park(Task& t) {
  Lock lock(mu_);
  if (t.wake_pending) {
    t.wake_pending = false;
    return false;
  }
  t.where = Where::kParked;
  return true;
}

bool Scheduler::enter_guest(Task& t) {
  Lock lock(mu_);
  if (t.wake_pending) {
    t.wake_pending = false;
    return false;
  }
  t.where = Where::kInGuest;
  in_guest_++;
  return true;
}

void Scheduler::finish(Task& t) {
  Lock lock(mu_);
  t.where = Where::kGone;
}

void Scheduler::trapped(Task& t) {
  Lock lock(mu_);
  if (t.where != Where::kInGuest) return;
  in_guest_--;
  queue_locked(t);
}

void Scheduler::yield(Task& t) {
  Lock lock(mu_);
  queue_locked(t);
}

}  // namespace usk
