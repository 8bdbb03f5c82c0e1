// What usk ps and usk stats tell about a kernel.
#pragma once
#include "control/message.h"
#include "kernel/kernel.h"

namespace usk {

// {"processes": [{pid, ppid, uid, threads, state, time_ns, command}, ...]} in order of pid.
Json process_report(Kernel& kernel) EXCLUDES(task_mutex);
// Counters, tasks, memory in bytes, time since the start; "platform": {name, counters: {group:
// {name: number}}, call_sites: [{address, file, offset, nr, call, trapped, patched}, ...]}, the
// busiest sites first; a site without an address stands for many.
Json stats_report(Kernel& kernel) EXCLUDES(task_mutex);

}  // namespace usk
