// ptrace(2).
#include "kernel/ptrace/requests.h"
#include "kernel/task/access.h"
#include "syscalls/syscalls.h"

namespace usk::sys {

SyscallResult ptrace(Task& t, int64_t request, PidNr pid, uint64_t addr, uint64_t data) {
  if (request == PTRACE_TRACEME) {
    TRY(trace_me(t));
    return 0;
  }
  const Ref<Task> tracee = TRY(find_task(t, pid.n));
  return ptrace_request(t, *tracee, {.request = request, .addr = addr, .data = data});
}

}  // namespace usk::sys
