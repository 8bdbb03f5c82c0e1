// What a parked task waits for.
#pragma once
#include <functional>
#include <vector>

#include "base/timer.h"
#include "base/wait.h"
#include "fs/vfs/file.h"

namespace usk {

class Task;

// A task's registrations with wait queues, kept until the call that made them looks again. Derived
// state: a restored call registers anew.
class WaitSet {
 public:
  explicit WaitSet(Task& task);
  ~WaitSet();
  // `holder` keeps the queue alive. Waking makes the task runnable again.
  void add(WaitQueue& queue, PollMask mask, Ref<RefCounted> holder = {});
  // The call may be tried again on `file`, or give up.
  void add_file(Ref<File> file, PollMask mask);
  // The call ends without being tried again: files hear of it (File::wait_ended).
  void give_up();
  void clear();
  bool empty() const { return entries_.empty(); }

 private:
  struct Entry {
    WaitQueue* queue;
    Ref<RefCounted> holder;
    Ref<File> file;  // Null: only a queue.
  };
  Ref<Waiter> waiter_;
  std::vector<Entry> entries_;
};

}  // namespace usk
