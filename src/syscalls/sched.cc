// sched_yield(2), sched_setscheduler(2), sched_setaffinity(2), sched_setattr(2), getpriority(2),
// ioprio_set(2). Policies are recorded and checked; the host schedules.
#include <linux/capability.h>
#include <sched.h>

#include "host/machine.h"
#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "kernel/task/access.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

// sched_setattr(2), without what deadline scheduling and utilisation clamping add.
struct SchedAttr {
  uint32_t size, sched_policy;
  uint64_t sched_flags;
  int32_t sched_nice;
  uint32_t sched_priority;
  uint64_t runtime, deadline, period;
};
static_assert(sizeof(SchedAttr) == 48);

bool is_realtime(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

bool may_schedule(const Task& t, const Task& who) {
  const Creds &a = *t.creds, &b = *who.creds;
  return a.euid == b.uid || a.euid == b.euid || a.capable(CAP_SYS_NICE, *b.user_ns);
}

Result<void> check_priority(int policy, int priority) {
  if (is_realtime(policy)) {
    if (priority < 1 || priority > 99) return Err(EINVAL);
  } else if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE) {
    if (priority != 0) return Err(EINVAL);
  } else {
    return Err(EINVAL);
  }
  return {};
}

Result<void> set_policy(Task& t, int pid, int policy, int priority) {
  const bool reset = policy & SCHED_RESET_ON_FORK;
  policy &= ~SCHED_RESET_ON_FORK;
  Ref<Task> who = TRY(task_or_self(t, pid));
  TRY(check_priority(policy, priority));
  Lock lock(task_mutex);
  if (!may_schedule(t, *who)) return Err(EPERM);
  if (!t.capable(CAP_SYS_NICE)) {
    const uint64_t limit = who->group->limits[RLIMIT_RTPRIO].rlim_cur;
    const bool raises =
        is_realtime(policy) && (policy != who->policy || priority > who->realtime_priority);
    if (raises && uint64_t(priority) > limit) return Err(EPERM);
    if (who->reset_on_fork && !reset) return Err(EPERM);
  }
  who->policy = policy;
  who->realtime_priority = priority;
  who->reset_on_fork = reset;
  return {};
}

}  // namespace

SyscallResult sched_yield(Task&) { return 0; }

SyscallResult sched_setscheduler(Task& t, PidNr pid, int32_t policy, UserPtr<const int32_t> param) {
  if (pid.n < 0 || policy < 0 || !param) return Err(EINVAL);
  TRY(set_policy(t, pid.n, policy, TRY(t.mem().get(param))));
  return 0;
}

SyscallResult sched_setparam(Task& t, PidNr pid, UserPtr<const int32_t> param) {
  if (pid.n < 0 || !param) return Err(EINVAL);
  const int priority = TRY(t.mem().get(param));
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  const int reset = who->reset_on_fork ? SCHED_RESET_ON_FORK : 0;
  TRY(set_policy(t, pid.n, who->policy | reset, priority));
  return 0;
}

SyscallResult sched_getscheduler(Task& t, PidNr pid) {
  if (pid.n < 0) return Err(EINVAL);
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  return who->policy | (who->reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

SyscallResult sched_getparam(Task& t, PidNr pid, UserPtr<int32_t> param) {
  if (pid.n < 0 || !param) return Err(EINVAL);
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  TRY(t.mem().put(param, who->realtime_priority));
  return 0;
}

SyscallResult sched_get_priority_max(Task&, int32_t policy) {
  if (is_realtime(policy)) return 99;
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == 6)
    return 0;
  return Err(EINVAL);
}

SyscallResult sched_get_priority_min(Task&, int32_t policy) {
  if (is_realtime(policy)) return 1;
  if (policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE || policy == 6)
    return 0;
  return Err(EINVAL);
}

SyscallResult sched_rr_get_interval(Task& t, PidNr pid, UserPtr<KernelTimespec> interval) {
  if (pid.n < 0) return Err(EINVAL);
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  TRY(t.mem().put(interval, {0, who->policy == SCHED_FIFO ? 0
                                : who->policy == SCHED_RR ? 100000000
                                                          : 4000000}));
  return 0;
}

SyscallResult sched_setattr(Task& t, PidNr pid, uint64_t attr, uint32_t flags) {
  if (!attr || pid.n < 0 || flags) return Err(EINVAL);
  const uint32_t size = TRY(t.mem().get(UserPtr<const uint32_t>{attr}));
  if (size && size < 48) return Err(E2BIG);
  if (size > platform::kPageSize) return Err(E2BIG);
  SchedAttr a{};
  TRY(t.mem().copy_in(
      std::as_writable_bytes(std::span(&a, 1)).first(std::min<size_t>(size ? size : 48, sizeof a)),
      attr));
  if (a.sched_policy == 6 /* SCHED_DEADLINE */) return Err(EPERM);
  const int reset = a.sched_flags & 1 ? SCHED_RESET_ON_FORK : 0;
  TRY(set_policy(t, pid.n, int(a.sched_policy) | reset, int(a.sched_priority)));
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  if (!is_realtime(int(a.sched_policy))) who->nice = std::clamp(a.sched_nice, -20, 19);
  return 0;
}

SyscallResult sched_getattr(Task& t, PidNr pid, uint64_t attr, uint32_t size, uint32_t flags) {
  if (!attr || pid.n < 0 || size < 48 || size > platform::kPageSize || flags) return Err(EINVAL);
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  SchedAttr a{};
  a.size = uint32_t(std::min<size_t>(size, sizeof a));
  a.sched_policy = uint32_t(who->policy);
  a.sched_flags = who->reset_on_fork ? 1 : 0;
  a.sched_nice = who->nice;
  a.sched_priority = uint32_t(who->realtime_priority);
  TRY(t.mem().copy_out(attr, std::as_bytes(std::span(&a, 1)).first(a.size)));
  return 0;
}

SyscallResult sched_setaffinity(Task& t, PidNr pid, uint32_t length, uint64_t mask) {
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  cpu_set_t set;
  CPU_ZERO(&set);
  const size_t n = std::min<size_t>(length, sizeof set);
  TRY(t.mem().copy_in(std::as_writable_bytes(std::span(&set, 1)).first(n), mask));
  const int cpus = host::machine().cpus;
  int usable = 0;
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (i >= cpus) CPU_CLR(size_t(i), &set);
    usable += bool(CPU_ISSET(size_t(i), &set));
  }
  Lock lock(task_mutex);
  if (!may_schedule(t, *who)) return Err(EPERM);
  if (!usable) return Err(EINVAL);
  if (who->cpu) TRY(who->cpu->set_affinity(set));
  who->affinity = set;
  return 0;
}

SyscallResult sched_getaffinity(Task& t, PidNr pid, uint32_t length, uint64_t mask) {
  const int cpus = host::machine().cpus;
  if (length * 8ull < uint64_t(cpus) || length % 8) return Err(EINVAL);
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  cpu_set_t set = who->affinity;
  for (int i = cpus; i < CPU_SETSIZE; i++) CPU_CLR(size_t(i), &set);
  const size_t n = std::min<size_t>(length, sizeof set);
  TRY(t.mem().copy_out(mask, std::as_bytes(std::span(&set, 1)).first(n)));
  return n;
}

namespace {

// The tasks that PRIO_PROCESS, PRIO_PGRP or PRIO_USER and an id name.
Result<std::vector<Ref<Task>>> tasks_named(Task& t, int which, int who) {
  if (which < PRIO_PROCESS || which > PRIO_USER) return Err(EINVAL);
  std::vector<Ref<Task>> out;
  if (which == PRIO_PROCESS) {
    out.push_back(TRY(task_or_self(t, who)));
    return out;
  }
  const Uid uid = who ? t.creds->user_ns->uid_in(uint32_t(who)).value_or(UINT32_MAX) : t.creds->uid;
  for (auto& other : t.kernel.all_tasks()) {
    Lock lock(task_mutex);
    if (other->dead || !other->group->process_group) continue;
    const bool match = which == PRIO_USER ? other->creds->uid == uid
                       : who ? other->group->process_group->id->nr_in(t.pid_ns()) == who
                             : other->group->process_group == t.group->process_group;
    if (match) out.push_back(other);
  }
  if (out.empty()) return Err(ESRCH);
  return out;
}

}  // namespace

SyscallResult getpriority(Task& t, int32_t which, PidNr who) {
  int best = 0;
  for (auto& other : TRY(tasks_named(t, which, who.n))) best = std::max(best, 20 - other->nice);
  return best;  // The raw call returns 20 minus the nice value.
}

SyscallResult setpriority(Task& t, int32_t which, PidNr who, int32_t nice) {
  nice = std::clamp(nice, -20, 19);
  Result<void> last;
  for (auto& other : TRY(tasks_named(t, which, who.n))) {
    Lock lock(task_mutex);
    const uint64_t floor = other->group->limits[RLIMIT_NICE].rlim_cur;
    if (!may_schedule(t, *other)) {
      last = Err(EPERM);
    } else if (nice < other->nice && !t.capable(CAP_SYS_NICE) && uint64_t(20 - nice) > floor) {
      last = Err(EACCES);
    } else {
      other->nice = nice;
    }
  }
  TRY(last);
  return 0;
}

SyscallResult ioprio_set(Task& t, int32_t which, PidNr who, int32_t priority) {
  const int io_class = priority >> 13;
  if (io_class < 0 || io_class > 3) return Err(EINVAL);
  if (which < 1 || which > 3) return Err(EINVAL);
  if (io_class == 1 && !t.capable(CAP_SYS_ADMIN) && !t.capable(CAP_SYS_NICE)) return Err(EPERM);
  for (auto& other : TRY(tasks_named(t, which - 1, who.n))) other->io_priority = priority;
  return 0;
}

SyscallResult ioprio_get(Task& t, int32_t which, PidNr who) {
  if (which < 1 || which > 3) return Err(EINVAL);
  return TRY(tasks_named(t, which - 1, who.n)).front()->io_priority;
}

}  // namespace usk::sys
