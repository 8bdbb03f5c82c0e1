// getpid(2), getppid(2), gettid(2), setpgid(2), getpgid(2), setsid(2), getsid(2).
#include "kernel/kernel.h"
#include "kernel/task/access.h"
#include "syscalls/syscalls.h"

namespace usk::sys {

SyscallResult getpid(Task& t) { return t.tgid(); }
SyscallResult gettid(Task& t) { return t.tid(); }

SyscallResult getppid(Task& t) {
  Lock lock(task_mutex);
  return t.group->parent ? t.group->parent->pid->nr_in(t.pid_ns()) : 0;
}

SyscallResult getpgrp(Task& t) { return getpgid(t, {0}); }

SyscallResult getpgid(Task& t, PidNr pid) {
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  Lock lock(task_mutex);
  if (!who->group->process_group) return Err(ESRCH);
  return who->group->process_group->id->nr_in(t.pid_ns());
}

SyscallResult getsid(Task& t, PidNr pid) {
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  Lock lock(task_mutex);
  if (!who->group->process_group) return Err(ESRCH);
  return who->group->session().id->nr_in(t.pid_ns());
}

namespace {

// Moves a process to a group of its session; an empty old group disappears.
void move_to_group(ThreadGroup& g, Ref<ProcessGroup> to) REQUIRES(task_mutex) {
  g.process_group->members.erase(&g);
  g.process_group = std::move(to);
  g.process_group->members.insert(&g);
}

}  // namespace

SyscallResult setpgid(Task& t, PidNr pid, PidNr pgid) {
  if (pid.n < 0 || pgid.n < 0) return Err(EINVAL);
  Lock lock(task_mutex);
  ThreadGroup* g = t.group.get();
  if (pid.n && pid.n != t.tgid()) {
    Ref<Pid> p = t.pid_ns().find(pid.n);
    if (!p || !p->group) return Err(ESRCH);
    g = p->group;
    if (g->parent != t.group.get()) return Err(ESRCH);
    if (&g->session() != &t.group->session()) return Err(EPERM);
    if (g->execed) return Err(EACCES);
  }
  Session& session = g->session();
  if (session.leader == g) return Err(EPERM);
  const int wanted = pgid.n ? pgid.n : g->pid->nr_in(t.pid_ns());
  if (wanted == g->pid->nr_in(t.pid_ns())) {
    if (g->pid->process_group) {
      if (g->process_group.get() != g->pid->process_group) {
        move_to_group(*g, Ref<ProcessGroup>::share(g->pid->process_group));
      }
      return 0;
    }
    move_to_group(*g, make_ref<ProcessGroup>(g->pid, g->process_group->session));
    return 0;
  }
  Ref<Pid> p = t.pid_ns().find(wanted);
  if (!p || !p->process_group || p->process_group->session.get() != &session) return Err(EPERM);
  move_to_group(*g, Ref<ProcessGroup>::share(p->process_group));
  return 0;
}

SyscallResult setsid(Task& t) {
  Lock lock(task_mutex);
  ThreadGroup& g = *t.group;
  if (g.session().leader == &g || g.pid->process_group) return Err(EPERM);
  auto session = make_ref<Session>(g.pid);
  session->leader = &g;
  move_to_group(g, make_ref<ProcessGroup>(g.pid, session));
  return g.pid->nr_in(t.pid_ns());
}

}  // namespace usk::sys
