// kill(2), tkill(2), tgkill(2), rt_sigqueueinfo(2), pidfd_send_signal(2).
#include "fs/proc/proc_fs.h"
#include "kernel/kernel.h"
#include "kernel/task/access.h"
#include "kernel/task/pid_file.h"
#include "syscalls/signal_mask.h"

namespace usk::sys {
namespace {

Result<void> check_signal(int sig) {
  if (sig < 0 || sig > kSignals) return Err(EINVAL);
  return {};
}

siginfo_t from_task(Task& t, const Task& to, int sig, int code) {
  siginfo_t info =
      user_siginfo(sig, code, sender_pid(t, to), to.creds->user_ns->uid_out(t.creds->uid));
  return info;
}

// Sends to one process; signal 0 only checks.
Result<void> send_to_group(Task& t, ThreadGroup& g, int sig, int code) REQUIRES(task_mutex) {
  if (!g.leader) return Err(ESRCH);
  if (!may_signal(t, *g.leader, sig)) return Err(EPERM);
  if (sig == 0) return {};
  return send_group_signal(g, from_task(t, *g.leader, sig, code));
}

SyscallResult kill_process_group(Task& t, ProcessGroup* group, int sig) REQUIRES(task_mutex) {
  if (!group || group->members.empty()) return Err(ESRCH);
  Result<void> last = Err(ESRCH);
  bool any = false;
  const auto members = group->members;
  for (ThreadGroup* g : members) {
    last = send_to_group(t, *g, sig, SI_USER);
    any |= last.has_value();
  }
  if (!any) return std::unexpected(last.error());
  return 0;
}

SyscallResult kill_everyone(Task& t, int sig) REQUIRES(task_mutex) {
  int tried = 0;
  Result<void> last;
  for (auto& pid : t.pid_ns().all()) {
    ThreadGroup* g = pid->group;
    if (!g || g == t.group.get() || g == t.pid_ns().init || g == t.kernel.init.get()) continue;
    auto r = send_to_group(t, *g, sig, SI_USER);
    if (failed_with(r, EPERM)) continue;
    tried++;
    last = r;
  }
  if (tried == 0) return Err(ESRCH);
  if (!last) return std::unexpected(last.error());
  return 0;
}

}  // namespace

SyscallResult kill(Task& t, PidNr pid, SignalNr sig) {
  TRY(check_signal(sig.n));
  Lock lock(task_mutex);
  if (pid.n > 0) {
    Ref<Pid> p = t.pid_ns().find(pid.n);
    ThreadGroup* g = p ? p->group : nullptr;
    if (p && !g && p->task) g = p->task->group.get();  // Linux: a thread id names its process.
    if (!g) return Err(ESRCH);
    TRY(send_to_group(t, *g, sig.n, SI_USER));
    return 0;
  }
  if (pid.n == 0) return kill_process_group(t, t.group->process_group.get(), sig.n);
  if (pid.n == -1) return kill_everyone(t, sig.n);
  if (pid.n == INT32_MIN) return Err(ESRCH);
  Ref<Pid> p = t.pid_ns().find(-pid.n);
  return kill_process_group(t, p ? p->process_group : nullptr, sig.n);
}

namespace {

SyscallResult send_to_thread(Task& t, int tgid, int tid, int sig, const siginfo_t* info) {
  if (tid <= 0 || sig < 0 || sig > kSignals) return Err(EINVAL);
  Lock lock(task_mutex);
  Ref<Pid> p = t.pid_ns().find(tid);
  Task* to = p ? p->task : nullptr;
  if (!to || (tgid > 0 && to->group->pid->nr_in(t.pid_ns()) != tgid)) return Err(ESRCH);
  if (!may_signal(t, *to, sig)) return Err(EPERM);
  if (sig == 0) return 0;
  TRY(send_signal(*to, info ? *info : from_task(t, *to, sig, SI_TKILL), SignalScope::kTask));
  return 0;
}

// A siginfo that a program made up: only about itself may it claim to be the kernel or kill(2).
Result<siginfo_t> get_siginfo(Task& t, UserPtr<const siginfo_t> p, int sig, bool to_self) {
  siginfo_t info = TRY(t.mem().get(p));
  info.si_signo = sig;
  if ((info.si_code >= 0 || info.si_code == SI_TKILL) && !to_self) return Err(EPERM);
  return info;
}

}  // namespace

SyscallResult tkill(Task& t, PidNr tid, SignalNr sig) {
  return send_to_thread(t, 0, tid.n, sig.n, nullptr);
}

SyscallResult tgkill(Task& t, PidNr tgid, PidNr tid, SignalNr sig) {
  if (tgid.n <= 0) return Err(EINVAL);
  return send_to_thread(t, tgid.n, tid.n, sig.n, nullptr);
}

SyscallResult rt_sigqueueinfo(Task& t, PidNr pid, SignalNr sig, UserPtr<const siginfo_t> p) {
  const siginfo_t info = TRY(get_siginfo(t, p, sig.n, pid.n == t.tgid()));
  TRY(check_signal(sig.n));
  Lock lock(task_mutex);
  Ref<Pid> to = t.pid_ns().find(pid.n);
  if (!to || !to->group || !to->group->leader) return Err(ESRCH);
  if (!may_signal(t, *to->group->leader, sig.n)) return Err(EPERM);
  if (sig.n) TRY(send_group_signal(*to->group, info));
  return 0;
}

SyscallResult rt_tgsigqueueinfo(Task& t, PidNr tgid, PidNr tid, SignalNr sig,
                                UserPtr<const siginfo_t> p) {
  if (tgid.n <= 0 || tid.n <= 0) return Err(EINVAL);
  const siginfo_t info = TRY(get_siginfo(t, p, sig.n, tid.n == t.tid()));
  return send_to_thread(t, tgid.n, tid.n, sig.n, &info);
}

namespace {

// A pidfd, or an open directory /proc/PID.
Ref<Pid> process_of(File& file) REQUIRES(task_mutex) {
  if (auto* pidfd = dynamic_cast<PidFile*>(&file)) return pidfd->pid_ref();
  return process_of_directory(file);
}

}  // namespace

SyscallResult pidfd_send_signal(Task& t, Fd pidfd, SignalNr sig, UserPtr<const siginfo_t> p,
                                uint32_t flags) {
  if (flags & ~7u || (flags & (flags - 1))) return Err(EINVAL);
  Ref<File> file = TRY(t.file(pidfd.n));
  if (!dynamic_cast<PidFile*>(file.get()) && !is_process_directory(*file)) return Err(EBADF);
  TRY(check_signal(sig.n));
  std::optional<siginfo_t> given;
  if (p) {
    given = TRY(t.mem().get(p));
    if (given->si_signo != sig.n) return Err(EINVAL);
  }
  Lock lock(task_mutex);
  const Ref<Pid> process = process_of(*file);
  if (!process) return Err(ESRCH);
  const Pid& target = *process;
  if (!target.group || !target.group->leader) return Err(ESRCH);
  if (target.nr_in(t.pid_ns()) == 0) return Err(EINVAL);
  const bool to_self = target.group == t.group.get();
  if (given && !to_self && (given->si_code >= 0 || given->si_code == SI_TKILL)) return Err(EPERM);
  if (!given) {
    TRY(send_to_group(t, *target.group, sig.n, SI_USER));
    return 0;
  }
  if (!may_signal(t, *target.group->leader, sig.n)) return Err(EPERM);
  if (sig.n) TRY(send_group_signal(*target.group, *given));
  return 0;
}

}  // namespace usk::sys
