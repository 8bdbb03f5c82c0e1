#include "kernel/ptrace/seccomp_event.h"

#include <linux/ptrace.h>

#include "kernel/ptrace/stop.h"

namespace usk {

bool seccomp_event(Task& t, uint16_t data) {
  Lock lock(task_mutex);
  return stop_for_event(t, PTRACE_EVENT_SECCOMP, data);
}

bool seccomp_is_suspended(Task& t) {
  if (!t.traced) return false;
  Lock lock(task_mutex);
  return t.tracing.options & PTRACE_O_SUSPEND_SECCOMP;
}

}  // namespace usk
