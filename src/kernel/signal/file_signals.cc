#include "kernel/signal/file_signals.h"

#include "fs/vfs/file_signals.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

struct Reason {
  int code;
  long band;
};

// What of the events is told: one thing, as Linux's kill_fasync() is called with.
Reason reason_of(const File& file, PollMask events) {
  if (events & kMessage) return {POLL_MSG, POLLIN | POLLRDNORM | POLLMSG};
  if (!file.can(File::kRead)) return {POLL_OUT, POLLOUT | POLLWRNORM | POLLWRBAND};
  if (events & (POLLIN | POLLRDNORM)) return {POLL_IN, POLLIN | POLLRDNORM};
  if (events & POLLPRI) return {POLL_PRI, POLLPRI | POLLRDBAND};
  return {POLL_HUP, POLLHUP | POLLERR};
}

// Linux's sigio_perm(): as the owner was set, not as the event came.
bool may_reach(const File::Owner& owner, const Task& to) REQUIRES(task_mutex) {
  const Creds& c = *to.creds;
  return owner.euid == 0 || owner.euid == c.suid || owner.euid == c.uid || owner.uid == c.suid ||
         owner.uid == c.uid;
}

void send(const File::Owner& owner, const Reason& reason, int fd, Task& to, SignalScope scope)
    REQUIRES(task_mutex) {
  if (!may_reach(owner, to)) return;
  if (owner.signal) {
    siginfo_t info{};
    info.si_signo = owner.signal;
    info.si_code = reason.code;
    info.si_band = reason.band;
    info.si_fd = fd;
    if (send_signal(to, info, scope)) return;
    // The queue is full: the plain signal says that something was lost.
  }
  (void)send_signal(to, kernel_siginfo(SIGIO), scope);  // Not queued, so it cannot fail.
}

void tell_owner(Kernel& kernel, const File::Owner& owner, const Reason& reason, int fd)
    REQUIRES(task_mutex) {
  Ref<Pid> pid = kernel.root_pid_ns->find(owner.id);
  if (!pid) return;
  switch (owner.type) {
    case F_OWNER_TID:
      if (pid->task) send(owner, reason, fd, *pid->task, SignalScope::kTask);
      break;
    case F_OWNER_PID:
      if (pid->group && pid->group->leader) {
        send(owner, reason, fd, *pid->group->leader, SignalScope::kGroup);
      }
      break;
    case F_OWNER_PGRP:
      if (!pid->process_group) break;
      for (ThreadGroup* g : pid->process_group->members) {
        if (g->leader) send(owner, reason, fd, *g->leader, SignalScope::kGroup);
      }
      break;
    default: break;
  }
}

}  // namespace

void send_file_signals(Kernel& kernel) {
  for (const auto& [signaller, events] : take_file_signals()) {
    const Ref<File> file = signaller->file();
    if (!file) continue;
    const File::Owner owner = file->owner();
    if (!owner.id) continue;
    Lock lock(task_mutex);
    tell_owner(kernel, owner, reason_of(*file, events), signaller->fd());
  }
}

Result<void> set_file_owner(Task& t, File& file, int type, int id) {
  if (type < F_OWNER_TID || type > F_OWNER_PGRP) return Err(EINVAL);
  File::Owner owner = file.owner();
  owner.type = type;
  owner.id = 0;
  if (id) {
    Lock lock(task_mutex);
    Ref<Pid> pid = t.pid_ns().find(id);
    if (!pid) return Err(ESRCH);
    owner.id = pid->root_nr();
  }
  owner.uid = t.creds->uid;
  owner.euid = t.creds->euid;
  file.set_owner(owner);
  return {};
}

int file_owner_id(Task& t, const File::Owner& owner) {
  if (!owner.id) return 0;
  Lock lock(task_mutex);
  Ref<Pid> pid = t.kernel.root_pid_ns->find(owner.id);
  return pid ? pid->nr_in(t.pid_ns()) : 0;
}

}  // namespace usk
