// Signals as a file: signalfd(2).
#pragma once
#include "fs/anon/anon_file.h"
#include "kernel/task/task.h"

namespace usk {

// Linux: reads take the signals of whoever reads, not of who made the file. Here a file belongs to
// the process that made it; a reader in another process finds nothing.
class SignalFile final : public AnonFile {
 public:
  SignalFile(Task& maker, SignalSet mask, bool nonblocking);
  ~SignalFile() override;
  Result<size_t> read(IoOut& dst, uint64_t& pos) override EXCLUDES(task_mutex);
  PollMask poll() override EXCLUDES(task_mutex);
  WaitQueue& queue() override { return relay_->queue; }
  std::string fdinfo() const override EXCLUDES(task_mutex);
  void set_mask(SignalSet mask) EXCLUDES(task_mutex);

 private:
  // Listens to the threads' signal queues for whoever waits for the file.
  struct Relay final : Waiter {
    WaitQueue queue;
    void notify(PollMask events) override { queue.wake(events); }
  };
  Ref<ThreadGroup> group_;
  Ref<Task> maker_;
  Ref<Relay> relay_;
  SignalSet mask_ GUARDED_BY(task_mutex);
};

}  // namespace usk
