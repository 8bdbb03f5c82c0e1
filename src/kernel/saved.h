// A kernel in a checkpoint: what is saved of it, and how it comes back.
#pragma once
#include <string>
#include <vector>

#include "kernel/kernel.h"
#include "state/loader.h"
#include "state/writer.h"

namespace usk {

// Where the pages of address spaces go and come from.
class PageStore {
 public:
  virtual ~PageStore() = default;
  // Keeps whole pages; their place in the store.
  virtual OrFailure<uint64_t> append(std::span<const std::byte> pages) = 0;
  virtual OrFailure<void> read(uint64_t at, std::span<std::byte> to) = 0;
};

// Brings all threads in from the guest: until the kernel's loop goes on, every task is parked,
// ready or gone, and nothing changes. In the kernel's loop, between steps of tasks.
void pause_tasks(Kernel& kernel) EXCLUDES(task_mutex);

// Saves all tasks with their memory, and what they share, of a kernel that is paused.
OrFailure<void> save_kernel(Kernel& kernel, state::Writer& to, PageStore& pages)
    EXCLUDES(task_mutex);

// Two steps, for a kernel that has no tasks yet. What the objects need of it while they are made,
// before Loader::load().
void prepare_to_load(Kernel& kernel, state::Loader& from);
// After Loader::finish(): its tasks are ready to run.
OrFailure<void> take_loaded_tasks(Kernel& kernel, state::Loader& from, PageStore& pages)
    EXCLUDES(task_mutex);

}  // namespace usk
