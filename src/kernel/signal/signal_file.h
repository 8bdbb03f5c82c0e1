// Signals as a file: signalfd(2).
#pragma once
#include <vector>

#include "fs/anon/anon_file.h"
#include "kernel/task/task.h"

namespace usk {

// Reads take the signals of whoever reads, not of who made the file: a child that inherits it sees
// its own.
class SignalFile final : public AnonFile {
 public:
  SignalFile(Task& maker, SignalSet mask, bool nonblocking);
  explicit SignalFile(Blank b) : AnonFile(b), relay_(make_ref<Relay>()) {}
  ~SignalFile() override;
  Result<size_t> read(IoOut& dst, uint64_t& pos) override EXCLUDES(task_mutex);
  PollMask poll() override EXCLUDES(task_mutex);
  WaitQueue& queue() override EXCLUDES(task_mutex);
  std::string fdinfo() const override EXCLUDES(task_mutex);
  void set_mask(SignalSet mask) EXCLUDES(task_mutex);

 private:
  // Listens to the threads' signal queues for whoever waits for the file.
  struct Relay final : Waiter {
    WaitQueue queue;
    void notify(PollMask events) override { queue.wake(events); }
  };
  Ref<Task> reader() const;

  Ref<Task> maker_;
  Ref<Relay> relay_;
  // Whose signals the relay listens to: every task that asked for queue().
  std::vector<Ref<Task>> heard_ GUARDED_BY(task_mutex);
  SignalSet mask_ GUARDED_BY(task_mutex) = 0;

 public:
  USK_FIELDS_OF(AnonFile, maker_, mask_)
};

}  // namespace usk
