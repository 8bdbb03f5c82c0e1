// PTRACE_GET_SYSCALL_INFO and PTRACE_SET_SYSCALL_INFO: which call a stopped tracee is at.
#pragma once
#include <linux/ptrace.h>

#include "kernel/task/task.h"

namespace usk {

// Linux's struct ptrace_syscall_info, as far as this kind of stop fills it in.
struct CallInfo {
  ptrace_syscall_info info;
  size_t size = 0;
};
CallInfo call_info(Task& tracee) REQUIRES(task_mutex);
// EINVAL: of another kind than the stop; ERANGE: numbers that do not fit.
Result<void> set_call_info(Task& tracee, const ptrace_syscall_info& info) REQUIRES(task_mutex);

}  // namespace usk
