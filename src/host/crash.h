// What is left of a kernel process that ends by a bug of its own: a line and a report. Its stubs
// end with it, by themselves (PR_SET_PDEATHSIG, PTRACE_O_EXITKILL).
#pragma once
#include <cstdint>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

constexpr int kCrashExitCode = 125;

// From now on SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT and a CHECK that fails end the process with
// kCrashExitCode, one line on standard error and, if `reports` is given, a file crash.txt in that
// directory (whose name, for the line, is `name`).
Result<void> report_crashes(Ref<HostFd> reports, const std::string& name);

// What the watchdog does with a task that keeps the process computing for so long.
enum class Watchdog : uint8_t { kLog, kKill };
// Looks each time the process has used so much processor time (setitimer(2), ITIMER_PROF: an idle
// process is not woken) whether base/heartbeat.h has moved on since. If it has not, a line with the
// task and the process's stack is printed, once for each time that it gets stuck, or the process
// ends as above.
Result<void> start_watchdog(Watchdog what, int64_t period_ns);

}  // namespace usk::host
