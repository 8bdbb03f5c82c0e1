#include "kernel/task/exit.h"

#include <linux/ptrace.h>
#include <sys/wait.h>

#include "fs/vfs/guard.h"
#include "kernel/core/core_dump.h"
#include "kernel/debug/session.h"
#include "kernel/futex/futex.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/attach.h"
#include "kernel/ptrace/stop.h"
#include "kernel/signal/send.h"
#include "kernel/task/close.h"
#include "kernel/task/exec.h"
#include "kernel/time/posix_timers.h"

namespace usk {

bool exec_waits(const Task& t) {
  for (const Task* other : t.group->tasks) {
    if (other != &t && !(other->dead && other == t.group->leader)) return true;
  }
  return false;
}

bool waits_for_namespace(const Task& t) {
  if (!t.zaps_namespace) return false;
  for (auto& pid : t.pid_ns().all()) {
    if (pid->task && pid->task != &t && pid->task->group.get() != t.group.get()) return true;
  }
  return false;
}

Usage thread_usage(Task& t) {
  Usage u = t.usage;
  if (t.cpu && !t.kernel.is_paused()) {
    u.user_ns += int64_t(t.cpu->cpu_time_ns());
    u.voluntary += t.cpu->own_sleeps();
  }
  return u;
}

Usage group_usage(ThreadGroup& g) {
  Usage u = g.dead_threads;
  for (Task* t : g.tasks) {
    if (!t->dead) u += thread_usage(*t);
  }
  return u;
}

namespace {

// An orphaned group with a stopped member is told: POSIX, exit(3).
void signal_orphans(ProcessGroup& pg) REQUIRES(task_mutex) {
  if (!pg.is_orphaned() || !pg.has_stopped_member()) return;
  signal_process_group(pg, kernel_siginfo(SIGHUP));
  signal_process_group(pg, kernel_siginfo(SIGCONT));
}

// Who adopts the children: another thread's process is the same; then the nearest living
// subreaper, then the init of the pid namespace.
ThreadGroup& find_reaper(ThreadGroup& g) REQUIRES(task_mutex) {
  ThreadGroup* ns_init = g.pid->ns().init;
  for (ThreadGroup* p = g.parent; p && p != ns_init; p = p->parent) {
    if (&p->pid->ns() != &g.pid->ns()) break;
    if (p->is_subreaper && !p->exiting && p->live > 0) return *p;
  }
  if (ns_init && ns_init != &g && !ns_init->zombie) return *ns_init;
  return *g.kernel.init;
}

void reparent_children(ThreadGroup& g) REQUIRES(task_mutex) {
  ThreadGroup& reaper = find_reaper(g);
  const auto children = std::exchange(g.children, {});
  for (ThreadGroup* child : children) {
    Ref<ProcessGroup> pg = child->process_group;
    child->parent = &reaper;
    reaper.children.push_back(child);
    child->leader->parent_thread = reaper.leader;
    child->leader->exit_signal =
        SIGCHLD;  // Of those without one, too: else nobody would reap them.
    if (child->zombie) {
      if (reaper.reaps_children()) {
        reap(*child);
      } else {
        notify_parent(*child, CLD_EXITED, WEXITSTATUS(child->exit_status));
      }
      continue;
    }
    // A parent of another group of the session was what tied the child's group to it.
    const bool tied = pg && pg != g.process_group && &child->session() == &g.session();
    if (tied) signal_orphans(*pg);
  }
}

// prctl(PR_SET_PDEATHSIG) of children whose parent thread this was.
void send_parent_death_signals(Task& t) REQUIRES(task_mutex) {
  for (ThreadGroup* child : t.group->children) {
    for (Task* c : child->tasks) {
      if (c->parent_thread != &t && child->leader->parent_thread != &t) continue;
      if (!c->parent_death_signal) continue;
      // Of a first thread that has ended, too: it is the process's signal.
      const uint32_t uid = c->creds->user_ns->uid_out(t.creds->uid);
      (void)send_group_signal(
          *child, user_siginfo(c->parent_death_signal, SI_USER, sender_pid(t, *c), uid));
    }
    if (child->leader->parent_thread == &t) {
      child->leader->parent_thread = t.group->leader == &t ? nullptr : t.group->leader;
    }
  }
}

void end_namespace(Task& t) REQUIRES(task_mutex) {
  PidNamespace& ns = t.pid_ns();
  ns.dead = true;
  t.zaps_namespace = true;
  t.may_be_stopped = true;
  for (auto& pid : ns.all()) {
    if (pid->group && pid->group != t.group.get()) begin_group_exit(*pid->group, SIGKILL);
  }
}

void leave_process(Task& t) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  Session& session = g.session();
  if (session.leader == &g) {
    session.leader = nullptr;
    if (session.terminal) {
      Ref<Terminal> terminal = std::exchange(session.terminal, {});
      t.kernel.leader_exits(std::move(terminal), session.id->root_nr());
    }
  }
  // Its own group may lose its last tie to the session.
  Ref<ProcessGroup> pg = g.process_group;
  const bool was_orphaned = pg->is_orphaned();
  if (!was_orphaned && pg->is_orphaned(&g) && pg->has_stopped_member()) {
    signal_process_group(*pg, kernel_siginfo(SIGHUP));
    signal_process_group(*pg, kernel_siginfo(SIGCONT));
  }
  if (g.pid->ns().init == &g) end_namespace(t);
  reparent_children(g);
}

void release_resources(Task& t, bool last) {
  leave_futexes(t);
  t.cpu->retire();
  if (t.clear_child_tid && t.mm->ref_count() > 1) {
    t.cpu->flush_memory();
    const uint32_t zero = 0;
    if (t.mm->write(t.clear_child_tid, std::as_bytes(std::span(&zero, 1)))) {
      wake_futex(t, t.clear_child_tid, 1);
    }
  }
  if (last) t.group->timers->clear();
  t.sem_undo.reset();
  t.usage = thread_usage(t);
  // The last count of a table closes its files here, not later.
  if (t.fds->ref_count() == 1) close_files(t, t.fds->remove_all());
  t.fds.reset();
  std::unique_ptr<platform::Thread> cpu = std::move(t.cpu);
  cpu->owner = nullptr;
  Ref<AddressSpace> mm = std::move(t.mm);
  {
    Lock lock(task_mutex);
    release_vfork_parent(t);
  }
  cpu.reset();
  mm.reset();
  t.fs.reset();
}

int exit_code_of(int status) {
  return WIFSIGNALED(status) ? (WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED) : CLD_EXITED;
}

int shown_status(int status) {
  return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

// The parent learns of a zombie, or need not.
void notify_exit(ThreadGroup& g) REQUIRES(task_mutex) {
  ThreadGroup& parent = *g.parent;
  const int code = exit_code_of(g.exit_status), shown = shown_status(g.exit_status);
  const bool self_reaping =
      g.leader->exit_signal == SIGCHLD && !g.leader->traced && parent.reaps_children();
  if (g.leader->exit_signal == SIGCHLD) {
    if (!parent.handlers->of(SIGCHLD).is_ignore()) notify_parent(g, code, shown);
  } else if (g.leader->exit_signal > 0 && g.leader->exit_signal <= kSignals) {
    // clone(2) takes any number.
    siginfo_t info = child_siginfo(*g.leader, group_usage(g), parent, code, shown);
    info.si_signo = g.leader->exit_signal;
    (void)send_group_signal(parent, info);
  }
  parent.child_events.wake(POLLIN);
  if (self_reaping) reap(g);
}

// The tracer of a thread learns that it has ended.
void notify_tracer_of_exit(Task& t) REQUIRES(task_mutex) {
  ThreadGroup& to = *t.tracing.tracer->group;
  const int status = t.group->exiting ? t.group->exit_status : t.exit_status;
  (void)send_group_signal(
      to, child_siginfo(t, thread_usage(t), to, exit_code_of(status), shown_status(status)));
  to.child_events.wake(POLLIN);
}

// When the last thread but a dead leader is gone, the process is a zombie.
void end_group(ThreadGroup& g) REQUIRES(task_mutex) {
  if (g.live > 0 || g.zombie || g.tasks.size() != 1 || !g.tasks[0]->dead) return;
  g.zombie = true;
  if (g.debugger) g.debugger->process_ended(g.exit_status);
  g.pid->exit_queue.wake(POLLIN);
  if (is_reparented(*g.leader)) {
    notify_tracer_of_exit(*g.leader);
  } else {
    notify_exit(g);
  }
}

void remove_thread(Task& t) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  unlink_tracee(t);
  std::erase(g.tasks, &t);
  t.pid->task = nullptr;
  t.kernel.drop(t);
  if (g.exec_task) t.kernel.scheduler.kick(*g.exec_task);
  end_group(g);
}

}  // namespace

void reap_for_tracer(Task& t) {
  if (t.group->leader != &t) return remove_thread(t);
  unlink_tracee(t);
  notify_exit(*t.group);
}

void after_tracer(Task& tracer, Task& t) {
  ThreadGroup& g = *t.group;
  if (g.leader != &t) return remove_thread(t);
  if (!g.zombie) return;
  if (g.parent != tracer.group.get()) return notify_exit(g);
  if (g.parent->reaps_children()) reap(g);
}

void reap(ThreadGroup& g) {
  if (g.reaped) return;
  g.reaped = true;
  Kernel& k = g.kernel;
  if (g.parent) {
    Usage total = group_usage(g);
    total += g.reaped_children;
    g.parent->reaped_children += total;
    std::erase(g.parent->children, &g);
  }
  g.process_group->members.erase(&g);
  g.process_group.reset();
  g.kernel.yama.forget(g);
  unlink_tracee(*g.leader);
  g.pid->task = nullptr;
  g.pid->group = nullptr;
  Task* leader = std::exchange(g.leader, nullptr);
  g.tasks.clear();
  PidNamespace& ns = g.pid->ns();
  // Those of all namespaces that it was in may wait for them to be empty.
  for (PidNamespace* n = &ns; n; n = n->parent().get()) {
    if (n->init && n->init->leader) k.scheduler.kick(*n->init->leader);
  }
  if (ns.init == &g) ns.init = nullptr;
  k.drop(*leader);
  g.unref();
}

namespace {

// With the memory still there, by which its program is known. Rules kill with SIGKILL.
void tell_of_crash(Task& t) {
  const int status = t.group->exit_status;
  if (!WIFSIGNALED(status)) return;
  const int signal = WTERMSIG(status);
  if (signal != SIGKILL && default_action(signal) != DefaultAction::kCore) return;
  if (t.mm && t.mm->executable) installed_guard->crashed(*t.mm->executable);
}

}  // namespace

Step Exit::run(Task& t) {
  Lock lock(task_mutex);
  if (t.group->core_dump && t.group->core_dump->holds(t)) return Park{Exit{}, {}};
  const int status = t.group->exiting ? t.group->exit_status : t.exit_status;
  stop_for_event(t, PTRACE_EVENT_EXIT, uint64_t(status));
  return ExitMain{};
}

namespace {
// The call that the end of the sandbox came in the midst of lets go what it held on to.
void leave_call(Task& t) {
  t.waits().give_up();
  t.frame.pins.clear();
  t.frame.extra.reset();
}
}  // namespace

Step ExitMain::run(Task& t) {
  leave_call(t);
  bool last;
  int status;
  {
    Lock lock(task_mutex);
    t.exiting = true;
    if (!t.group->exiting) pass_on_signals(t, ~t.blocked | t.awaited);
    seccomp::release(t);
    leave_group_stop(t);
    detach_all(t);
    last = --t.group->live == 0;
    if (last && !t.group->exiting) {
      t.group->exiting = true;
      t.group->exit_status = t.exit_status;
    }
    status = t.exit_status;
  }
  if (t.group->debugger) t.group->debugger->thread_ends(t);
  if (last && installed_guard) tell_of_crash(t);
  if (t.stepped_over) t.mm->lower(std::exchange(t.stepped_over, 0));
  release_resources(t, last);
  for (CallObserver* o : t.kernel.hooks.observers) o->exited(t, status);
  Lock lock(task_mutex);
  send_parent_death_signals(t);
  if (last) leave_process(t);
  return ExitNotify{};
}

Step ExitNotify::run(Task& t) {
  Lock lock(task_mutex);
  ThreadGroup& g = *t.group;
  t.dead = true;
  g.dead_threads += t.usage;
  t.usage = Usage{};
  if (t.traced && !(g.leader == &t && g.tasks.size() == 1)) {
    notify_tracer_of_exit(t);
  } else if (g.leader != &t) {
    remove_thread(t);
    return ExitDone{};
  }
  if (g.exec_task && g.exec_task != &t) t.kernel.scheduler.kick(*g.exec_task);
  end_group(g);
  return ExitDone{};
}

Step ExitDone::run(Task&) { return Finished{}; }

}  // namespace usk
