// The requests of ptrace(2), by what they are about. Each reads like its paragraph there.
#pragma once
#include <linux/ptrace.h>

#include "kernel/ptrace/attach.h"
#include "kernel/run/outcome.h"
#include "kernel/task/task.h"

namespace usk {

struct PtraceRequest {
  int64_t request = 0;
  uint64_t addr = 0, data = 0;
};

// All but PTRACE_TRACEME. ESRCH, EIO, EPERM, EINVAL, EFAULT as the manual says.
SyscallResult ptrace_request(Task& tracer, Task& tracee, const PtraceRequest& q);

// Of a stopped tracee. Nothing: another group has that request.
using RequestResult = std::optional<SyscallResult>;
RequestResult resume_request(Task& tracer, Task& tracee, const PtraceRequest& q);
RequestResult memory_request(Task& tracer, Task& tracee, const PtraceRequest& q);
RequestResult register_request(Task& tracer, Task& tracee, const PtraceRequest& q);
RequestResult signal_request(Task& tracer, Task& tracee, const PtraceRequest& q);
RequestResult inspect_request(Task& tracer, Task& tracee, const PtraceRequest& q);

}  // namespace usk
