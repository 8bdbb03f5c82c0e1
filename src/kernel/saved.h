// A kernel in a checkpoint: what is saved of it, and how it comes back.
#pragma once
#include <string>
#include <vector>

#include "kernel/kernel.h"
#include "mm/snapshot.h"
#include "state/loader.h"
#include "state/writer.h"

namespace usk {

// Brings all threads in from the guest: until the kernel's loop goes on, every task is parked,
// ready or gone, and nothing changes. In the kernel's loop, between steps of tasks.
void pause_tasks(Kernel& kernel) EXCLUDES(task_mutex);

// Saves all tasks, and what they share, of a kernel that is paused, without their memory. Its clock
// is held by the caller (Timekeeper::hold()).
OrFailure<std::vector<MemorySnapshot>> save_kernel(Kernel& kernel, state::Writer& to, bool runs_on)
    EXCLUDES(task_mutex);
// Before the tasks run on or, with `runs_on`, meanwhile: finds the memory and says where it will
// lie. It is what the snapshots write, in this order.
OrFailure<void> save_memory(std::span<MemorySnapshot> snapshots, state::Writer& to);

// Two steps, for a kernel that has no tasks yet. What the objects need of it while they are made,
// before Loader::load().
void prepare_to_load(Kernel& kernel, state::Loader& from);
// After Loader::finish(): its tasks are ready to run.
OrFailure<void> take_loaded_tasks(Kernel& kernel, state::Loader& from, const SavedPages& pages)
    EXCLUDES(task_mutex);

}  // namespace usk
