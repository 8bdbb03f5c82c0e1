// What a task has to do with seccomp(2).
#pragma once
#include <atomic>

#include "kernel/seccomp/filter.h"

namespace usk {
class Task;
}  // namespace usk

namespace usk::seccomp {

enum class Mode : uint8_t { kNone, kStrict, kFilter };  // As prctl(PR_GET_SECCOMP) has them.

// A mode never goes back, and filters are only added.
struct State {
  std::atomic<Mode> mode{Mode::kNone};
  Ref<Filter> filter GUARDED_BY(task_mutex);  // The newest; null once the task has ended.
  size_t filter_count GUARDED_BY(task_mutex) = 0;
  // The task waits for its answer, in this queue. Its own.
  Ref<Notification> notification;
  Ref<NotifyQueue> listener;
  bool is_on() const { return mode.load(std::memory_order_relaxed) != Mode::kNone; }
  USK_FIELDS(mode, filter, filter_count, notification, listener)
};

// SECCOMP_SET_MODE_STRICT. EINVAL: a filter is there.
Result<void> set_strict(Task& t) EXCLUDES(task_mutex);

// SECCOMP_SET_MODE_FILTER with a filter made for it. With TSYNC all other threads of the process
// get the caller's filters; the result is the id of one that cannot, or 0. EINVAL, ENOMEM, EBUSY
// (there is a listener already), ESRCH (under TSYNC_ESRCH).
Result<int> attach_filter(Task& t, Ref<Filter> filter, uint32_t flags) REQUIRES(task_mutex);

// A task that is about to be seen has what its maker has.
void inherit(Task& from, Task& child) REQUIRES(task_mutex);
// The task ends: its filters bind it no more.
void release(Task& t) REQUIRES(task_mutex);

// For PTRACE_SECCOMP_GET_FILTER and its kin: the n-th newest filter of a task, null beyond the
// last.
Ref<const Filter> nth_newest(Task& t, size_t n) EXCLUDES(task_mutex);

}  // namespace usk::seccomp
