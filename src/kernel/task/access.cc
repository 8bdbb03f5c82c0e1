#include "kernel/task/access.h"

#include <linux/capability.h>

#include "kernel/ptrace/yama.h"

namespace usk {

bool may_access(const Task& caller, const Task& target, AccessCreds which) {
  if (caller.group.get() == target.group.get()) return true;
  const Creds &a = *caller.creds, &b = *target.creds;
  const Uid uid = which == AccessCreds::kReal ? a.uid : a.fsuid;
  const Gid gid = which == AccessCreds::kReal ? a.gid : a.fsgid;
  const bool same_ids = uid == b.euid && uid == b.suid && uid == b.uid && gid == b.egid &&
                        gid == b.sgid && gid == b.gid;
  const bool privileged = a.capable(CAP_SYS_PTRACE, *b.user_ns);
  if (!same_ids && !privileged) return false;
  if (target.mm && target.mm->dumpable != 1 && !privileged) return false;
  const bool same_ns = a.user_ns == b.user_ns;
  return privileged || (same_ns && (b.permitted & ~a.permitted) == 0);
}

Result<Ref<Task>> find_task(Task& caller, int tid) {
  Lock lock(task_mutex);
  Ref<Pid> pid = caller.pid_ns().find(tid);
  if (!pid || !pid->task) return Err(ESRCH);
  return Ref<Task>::share(pid->task);
}

Result<Ref<ThreadGroup>> find_group(Task& caller, int nr) {
  Lock lock(task_mutex);
  Ref<Pid> pid = caller.pid_ns().find(nr);
  if (!pid || !pid->group) return Err(ESRCH);
  return Ref<ThreadGroup>::share(pid->group);
}

Result<Ref<AddressSpace>> memory_of_process(Task& caller, int nr) {
  Lock lock(task_mutex);
  Ref<Pid> pid = caller.pid_ns().find(nr);
  if (!pid || !pid->task) return Err(ESRCH);
  if (!may_attach(caller, *pid->task)) return Err(EPERM);
  if (!pid->task->mm) return Err(ESRCH);
  return pid->task->mm;
}

}  // namespace usk
