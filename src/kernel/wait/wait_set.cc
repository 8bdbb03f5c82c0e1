#include "kernel/wait/wait_set.h"

#include "kernel/kernel.h"
#include "kernel/task/task.h"

namespace usk {
namespace {

class TaskWaiter final : public Waiter {
 public:
  explicit TaskWaiter(Task& task) : task_(&task) {}
  void notify(PollMask) override {
    Lock lock(mu_);
    if (task_) task_->kernel.scheduler.wake(*task_);
  }
  void forget() {
    Lock lock(mu_);
    task_ = nullptr;
  }

 private:
  Mutex<Rank::kEpollReady> mu_;
  Task* task_ GUARDED_BY(mu_);
};

}  // namespace

WaitSet::WaitSet(Task& task) : waiter_(make_ref<TaskWaiter>(task)) {}

WaitSet::~WaitSet() {
  clear();
  static_cast<TaskWaiter&>(*waiter_).forget();
}

void WaitSet::add(WaitQueue& queue, PollMask mask, Ref<RefCounted> holder) {
  queue.add(waiter_, mask);
  entries_.push_back({&queue, std::move(holder), {}});
}

void WaitSet::add_file(Ref<File> file, PollMask mask) {
  WaitQueue& queue = file->queue();
  queue.add(waiter_, mask);
  entries_.push_back({&queue, {}, std::move(file)});
}

void WaitSet::give_up() {
  for (Entry& e : entries_) {
    if (e.file) e.file->wait_ended();
  }
  clear();
}

void WaitSet::clear() {
  if (entries_.empty()) return;
  for (Entry& e : entries_) e.queue->remove(waiter_.get());
  entries_.clear();
}

}  // namespace usk
