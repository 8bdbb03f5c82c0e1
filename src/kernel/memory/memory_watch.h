// --memory: what the programs inside use together, and what happens beyond the limit.
#pragma once
#include <sys/types.h>

#include <vector>

#include "base/lock.h"
#include "base/ref.h"
#include "base/wait.h"
#include "kernel/task/pid.h"

namespace usk {

class Kernel;
class ThreadGroup;

// Memory in use is what the stubs have of anonymous pages, those that several share counted once,
// what files in memory hold (tmpfs, private layers, memfds, shared mappings), and the kernel's heap
// beyond what it has for itself. Files of the host and of an image do not count.
//
// The host does not tell when a program touches a page. So this looks: only while programs run,
// more often the less is left, and for a twentieth of the time at most. Each look adds up resident
// pages, which is quick, and too much where pages are shared; only when that may be beyond the
// limit the exact number is taken, and from then on what was added to it.
class MemoryWatch {
 public:
  MemoryWatch(Kernel& kernel, uint64_t limit) : kernel_(kernel), limit_(limit) {}
  ~MemoryWatch();

  // In the kernel's loop; `active`: programs ran since the last call, or are running. When it is to
  // be called again at the latest. Ends the process that uses most when there is too much.
  Deadline look(bool active) EXCLUDES(task_mutex);
  // Whether so much more fits.
  bool fits(uint64_t bytes);
  // Exactly; slow.
  uint64_t measure();
  uint64_t kills() const { return kills_; }

 private:
  // Never less than what is in use, as far as the pages of files are written by the kernel.
  uint64_t estimate();
  bool has_killed_recently(int64_t now) EXCLUDES(task_mutex);
  void kill_largest(uint64_t used) EXCLUDES(task_mutex);

  Kernel& kernel_;
  const uint64_t limit_;
  bool measured_ = false;
  uint64_t exact_ = 0, quick_then_ = 0;  // When last measured: that, and the quick sum.
  bool active_ = false;                  // Programs ran since the last look.
  int64_t due_ = 0;
  Ref<ThreadGroup> victim_;  // Until it is gone.
  int64_t killed_at_ = 0;
  uint64_t kills_ = 0;
};

}  // namespace usk
