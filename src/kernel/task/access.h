// Who may look into or steer another task: ptrace(2), "Ptrace access mode checking".
#pragma once
#include "kernel/task/task.h"

namespace usk {

// PTRACE_MODE_*_REALCREDS (attaching, process_vm_readv) or *_FSCREDS (procfs).
enum class AccessCreds { kReal, kFs };
bool may_access(const Task& caller, const Task& target, AccessCreds which) REQUIRES(task_mutex);

// The task with this id in the caller's pid namespace; ESRCH.
Result<Ref<Task>> find_task(Task& caller, int tid) EXCLUDES(task_mutex);
// The process with this id (any of its threads' ids names it as kill(2) sees it: the tgid only).
Result<Ref<ThreadGroup>> find_group(Task& caller, int pid) EXCLUDES(task_mutex);
// 0 is the caller itself.
inline Result<Ref<Task>> task_or_self(Task& caller, int tid) {
  if (tid == 0) return Ref<Task>::share(&caller);
  return find_task(caller, tid);
}

// The memory of a process that the caller may access. ESRCH, EPERM.
Result<Ref<AddressSpace>> memory_of_process(Task& caller, int pid) EXCLUDES(task_mutex);

}  // namespace usk
