// Whom wait4(2) and waitid(2) find: children, and the tasks that the caller's threads trace.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Who is waited for, and for what.
struct WaitRequest {
  int options = 0;  // WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, __W*
  enum { kAny, kPid, kGroup } what = kAny;
  Ref<Pid> pid;             // For kPid and kGroup.
  bool with_usage = false;  // To be asked for: the host knows what a living thread has used.
};

struct WaitResult {
  int pid = 0;     // As the caller sees it.
  int status = 0;  // As wait4(2) reports it.
  int code = 0;    // CLD_*
  Uid uid = 0;
  Usage usage;
};

// One look at all of them; what is found is taken unless WNOWAIT says otherwise. ECHILD: none can
// ever match.
Result<std::optional<WaitResult>> look_at_children(Task& t, const WaitRequest& q)
    EXCLUDES(task_mutex);

}  // namespace usk
