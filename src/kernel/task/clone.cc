#include "kernel/task/clone.h"

#include <linux/capability.h>
#include <linux/ptrace.h>

#include "kernel/ipc/ipc_namespace.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/attach.h"
#include "kernel/ptrace/stop.h"
#include "kernel/signal/send.h"
#include "kernel/task/network_namespace.h"
#include "kernel/time/posix_timers.h"

namespace usk {

MakePidFile make_pid_file = nullptr;

namespace {

constexpr uint64_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID |
                                    CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWUSER | 0x80;

Result<void> check_flags(Task& t, const CloneRequest& q) REQUIRES(task_mutex) {
  const uint64_t f = q.flags;
  if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND)) return Err(EINVAL);
  if ((f & CLONE_SIGHAND) && !(f & CLONE_VM)) return Err(EINVAL);
  if ((f & CLONE_FS) && (f & (CLONE_NEWNS | CLONE_NEWUSER))) return Err(EINVAL);
  if ((f & CLONE_THREAD) && (f & (CLONE_NEWUSER | CLONE_NEWPID))) return Err(EINVAL);
  if ((f & CLONE_PARENT) && t.pid_ns().init == t.group.get()) return Err(EINVAL);
  if ((f & CLONE_PIDFD) && (f & CLONE_DETACHED)) return Err(EINVAL);
  if ((f & CLONE_SYSVSEM) && (f & CLONE_NEWIPC)) return Err(EINVAL);
  if ((f & CLONE_THREAD) && t.ns.pid_for_children.get() != &t.pid_ns()) return Err(EINVAL);
  const size_t levels = size_t(t.ns.pid_for_children->level()) + 1 + ((f & CLONE_NEWPID) ? 1u : 0u);
  if (q.set_tid.size() > levels) return Err(EINVAL);
  if ((f & kNewNamespaces & ~uint64_t(CLONE_NEWUSER)) && !(f & CLONE_NEWUSER) &&
      !t.capable(CAP_SYS_ADMIN)) {
    return Err(EPERM);
  }
  return {};
}

Result<void> check_task_limits(Task& t) REQUIRES(task_mutex) {
  if (t.kernel.task_count() >= t.kernel.options().max_tasks) return Err(EAGAIN);
  uint64_t mine = 0;
  const uint64_t limit = t.limit(RLIMIT_NPROC);
  if (limit == RLIM64_INFINITY || t.creds->uid == 0 || t.capable(CAP_SYS_RESOURCE) ||
      t.capable(CAP_SYS_ADMIN)) {
    return {};
  }
  mine = t.kernel.count_tasks_of(t.creds->uid);
  if (mine >= limit) return Err(EAGAIN);
  return {};
}

struct Resources {
  Ref<const Creds> creds;
  Ref<FsState> fs;
  Ref<FdTable> fds;
  Namespaces ns;
};

Result<Resources> copy_resources(Task& t, uint64_t flags) {
  Resources r;
  r.creds = flags & CLONE_NEWUSER ? TRY(creds_in_new_user_ns(t)) : t.creds;
  r.fs = flags & CLONE_FS ? t.fs : t.fs->clone();
  r.fds = flags & CLONE_FILES ? t.fds : t.fds->clone();
  r.ns = TRY(new_namespaces(t, flags, r.creds, *r.fs));
  return r;
}

// The stub's part: a thread in this space or a copy of the space.
Result<void> copy_memory(Task& t, const CloneRequest& q, Task& child) {
  if (q.flags & CLONE_VM) {
    child.cpu = TRY(t.kernel.platform().new_thread(*t.cpu));
    child.mm = t.mm;
  } else {
    t.kernel.counters.forks++;
    TRY(t.mm->bring_all(*t.cpu));
    platform::NewSpace s = TRY(t.kernel.platform().fork(*t.cpu));
    child.mm = TRY(t.mm->fork(s.space, *s.thread));
    child.cpu = std::move(s.thread);
    child.rseq = t.rseq;
    child.robust_list = 0;
  }
  child.cpu->owner = &child;
  Regs& regs = child.cpu->regs();
  regs.set_result(0);
  regs.orig_rax = t.frame.nr;
  if (q.stack) regs.set_sp(q.stack);
  if (q.flags & CLONE_SETTLS) {
    if (q.tls >= platform::kGuestEnd) return Err(EPERM);
    regs.fs_base = q.tls;
  }
  return {};
}

void copy_attributes(Task& t, Task& child, uint64_t flags) {
  child.comm = t.comm;
  child.personality = t.personality;
  child.nice = t.nice;
  child.policy = t.policy;
  child.realtime_priority = t.realtime_priority;
  if (t.reset_on_fork) {
    child.policy = SCHED_OTHER, child.realtime_priority = 0;
    child.nice = std::max(0, t.nice);
  }
  child.tsc_off = t.tsc_off;  // Which the platform knows.
  child.timer_slack_ns = t.timer_slack_ns;
  child.io_priority = t.io_priority;
  child.affinity = t.affinity;
  child.start_ns = t.kernel.time.monotonic();
  if (!(flags & CLONE_VM) || (flags & CLONE_VFORK)) child.alt_stack = t.alt_stack;
}

Ref<ThreadGroup> new_group(Task& t, uint64_t flags, Ref<Pid> pid) REQUIRES(task_mutex) {
  auto g = make_ref<ThreadGroup>(t.kernel, std::move(pid));
  ThreadGroup& mine = *t.group;
  if (flags & CLONE_SIGHAND) {
    g->handlers = mine.handlers;
  } else if (flags & 0x100000000ull /* CLONE_CLEAR_SIGHAND */) {
    g->handlers = mine.handlers->clone();
    g->handlers->reset_for_exec();
  } else {
    g->handlers = mine.handlers->clone();
  }
  g->limits = mine.limits;
  g->oom_score_adj = mine.oom_score_adj;
  g->start_ns = t.kernel.time.monotonic();
  g->timers = std::make_shared<PosixTimers>(t.kernel, *g);
  return g;
}

void limit_cpu_time(ThreadGroup& g) EXCLUDES(task_mutex) {
  const rlimit64& cpu = g.limits[RLIMIT_CPU];
  if (cpu.rlim_cur != RLIM64_INFINITY) g.timers->set_cpu_limit(cpu.rlim_cur, cpu.rlim_max);
}

void join_tree(Task& t, ThreadGroup& g, uint64_t flags) REQUIRES(task_mutex) {
  ThreadGroup* parent = flags & CLONE_PARENT ? t.group->parent : t.group.get();
  if (parent->tasks.empty()) parent = t.kernel.init.get();
  g.parent = parent;
  parent->children.push_back(&g);
  g.ref();  // Released when the child is reaped.
  g.process_group = t.group->process_group;
  g.process_group->members.insert(&g);
}

// The ids that clone3(2) was asked for, from the innermost namespace outwards: the first process of
// a namespace is 1, and choosing takes a privilege there.
Result<void> check_wanted_ids(Task& t, PidNamespace* ns, const std::vector<int>& wanted)
    REQUIRES(task_mutex) {
  for (const int id : wanted) {
    if (id < 1 || id >= ns->pid_max || (id != 1 && !ns->init)) return Err(EINVAL);
    if (!t.creds->capable(CAP_SYS_ADMIN, *ns->owner()) &&
        !t.creds->capable(CAP_CHECKPOINT_RESTORE, *ns->owner())) {
      return Err(EPERM);
    }
    ns = ns->parent().get();
  }
  return {};
}

// A child that nobody has seen yet: what it holds goes without the lock, its pid with it.
void discard(Ref<Task> child) {
  child->mm.reset();
  child->fds.reset();
  child->fs.reset();
  child->sem_undo.reset();
  child->ns = Namespaces{};
  Lock lock(task_mutex);
  Ref<Task> gone = std::move(child);
  gone.reset();
}

Result<Ref<Task>> make_child(Task& t, const CloneRequest& q, Resources r) {
  const bool thread = q.flags & CLONE_THREAD;
  if (installed_guard) TRY(installed_guard->new_task());
  Ref<Task> child;
  {
    Lock lock(task_mutex);
    TRY(check_task_limits(t));
    TRY(check_wanted_ids(t, r.ns.pid_for_children.get(), q.set_tid));
    auto pid = TRY(Pid::make(r.ns.pid_for_children, q.set_tid));
    auto group = thread ? t.group : new_group(t, q.flags, pid);
    child = make_ref<Task>(t.kernel, pid, group);
    child->blocked = t.blocked;
  }
  if (!thread) limit_cpu_time(*child->group);
  child->creds = std::move(r.creds);
  child->fs = std::move(r.fs);
  child->fds = std::move(r.fds);
  child->ns = std::move(r.ns);
  child->exit_signal = thread ? 0 : q.exit_signal;
  if (q.flags & CLONE_SYSVSEM) child->sem_undo = sem_undo_of(t);
  copy_attributes(t, *child, q.flags);
  if (auto ok = copy_memory(t, q, *child); !ok) {
    discard(std::move(child));
    return std::unexpected(ok.error());
  }
  return child;
}

Result<void> write_ids(Task& t, const CloneRequest& q, Task& child) {
  const int nr = child.pid->nr_in(t.pid_ns());
  if (q.flags & CLONE_PARENT_SETTID) {
    // At once, for the child; Linux ignores a fault here, too.
    (void)t.mm->write(q.parent_tid, std::as_bytes(std::span(&nr, 1)));
  }
  if (q.flags & CLONE_CHILD_SETTID) {
    (void)child.mem().put(UserPtr<int32_t>{q.child_tid}, child.pid->own_nr());
  }
  if (q.flags & CLONE_CHILD_CLEARTID) child.clear_child_tid = q.child_tid;
  if (q.flags & CLONE_PIDFD) {
    Ref<File> file = make_pid_file(child.pid, false, t.creds);
    const int fd = TRY(t.add_fd(file, /*cloexec=*/true));
    if (auto ok = t.mem().put(UserPtr<int32_t>{q.pidfd}, fd); !ok) {
      (void)t.fds->remove(fd);
      return ok;
    }
  }
  return {};
}

// The event that the tracer has asked for; 0: none.
int event_of(Task& t, const CloneRequest& q) REQUIRES(task_mutex) {
  if (q.flags & CLONE_UNTRACED) return 0;
  const int event = q.flags & CLONE_VFORK      ? PTRACE_EVENT_VFORK
                    : q.exit_signal != SIGCHLD ? PTRACE_EVENT_CLONE
                                               : PTRACE_EVENT_FORK;
  return t.tracing.wants(event) ? event : 0;
}

// A thread that is born into a group-stop takes part in it.
void join_stop_of_group(const Task& t, Task& child) REQUIRES(task_mutex) {
  ThreadGroup& g = *child.group;
  if (!g.stopped && g.threads_to_stop == 0) return;
  child.group_stop_pending = child.interrupted = true;
  child.group_stop_signal = t.group_stop_signal;
  if (g.threads_to_stop == 0) return;
  child.group_stop_counted = true;
  g.threads_to_stop++;
}

// Everything is there: the child becomes visible.
void publish(Task& t, const CloneRequest& q, Ref<Task> child) REQUIRES(task_mutex) {
  ThreadGroup& g = *child->group;
  child->pid->task = child.get();
  seccomp::inherit(t, *child);
  if (!(q.flags & CLONE_THREAD)) {
    child->pid->group = &g;
    g.leader = child.get();
    child->parent_thread = q.flags & CLONE_PARENT ? t.group->leader->parent_thread : &t;
    join_tree(t, g, q.flags);
    PidNamespace& ns = child->pid_ns();
    if (!ns.init) ns.init = &g;
  }
  if (q.flags & CLONE_THREAD) join_stop_of_group(t, *child);
  g.tasks.push_back(child.get());
  g.live++;
  if (q.flags & CLONE_PTRACE || event_of(t, q)) inherit_tracer(t, *child);
  if (q.flags & CLONE_VFORK) {
    child->vfork_parent = Ref<Task>::share(&t);
    t.vfork_child = child.get();
    t.vfork_pid = child->pid;
    t.may_be_stopped = true;
  }
  if (g.exiting) child->interrupted = true;
  t.kernel.adopt(child);
}

}  // namespace

Result<Ref<const Creds>> creds_in_new_user_ns(Task& t) {
  const auto& parent = t.creds->user_ns;
  if (parent->depth() >= UserNamespace::kMaxDepth) return Err(ENOSPC);
  if (!parent->maps_uid(t.creds->euid) || !parent->maps_gid(t.creds->egid)) return Err(EPERM);
  Ref<Creds> c = t.creds->clone();
  c->user_ns = UserNamespace::make_child(parent, t.creds->euid, t.creds->egid);
  c->permitted = c->effective = c->bounding = kFullCaps;
  c->inheritable = c->ambient = 0;
  c->securebits = 0;
  return Ref<const Creds>(c);
}

Result<Namespaces> new_namespaces(Task& t, uint64_t flags, const Ref<const Creds>& creds,
                                  FsState& fs) {
  Namespaces ns = t.ns;
  const auto& owner = creds->user_ns;
  if (flags & CLONE_NEWUTS) {
    ns.uts = make_ref<UtsNamespace>(ns.uts->host(), ns.uts->domain(), owner);
  }
  if (flags & CLONE_NEWIPC) {
    ns.ipc = make_ref<IpcNamespace>(owner, ipc_namespace(t.ns)->memory());
  }
  if (flags & CLONE_NEWNET) ns.net = make_ref<NetworkNamespace>(owner, false);
  if (flags & CLONE_NEWCGROUP) ns.cgroup = make_ref<PlainNamespace>(owner);
  if (flags & CLONE_NEWPID) {
    if (ns.pid_for_children->level() + 1 >= PidNamespace::kMaxLevel) return Err(ENOSPC);
    ns.pid_for_children = make_ref<PidNamespace>(Ref<PidNamespace>::share(&t.pid_ns()), owner);
  }
  if (flags & CLONE_NEWNS) {
    Path root = fs.root(), cwd = fs.cwd();
    ns.mounts = TRY(ns.mounts->clone(owner, {&root, &cwd}));
    fs.set_root(root);
    fs.set_cwd(cwd);
  }
  return ns;
}

SyscallResult clone_task(Task& t, const CloneRequest& q) {
  {
    Lock lock(task_mutex);
    // Linux: a signal that came meanwhile goes first, and does not reach the child as well.
    if (t.has_work()) return Signalled{OnSignal::kNoIntr};
    TRY(check_flags(t, q));
  }
  Resources r = TRY(copy_resources(t, q.flags));
  Ref<Task> child = TRY(make_child(t, q, std::move(r)));
  if (auto ok = write_ids(t, q, *child); !ok) {
    discard(std::move(child));
    return std::unexpected(ok.error());
  }
  const int nr = child->pid->nr_in(t.pid_ns());
  t.frame.result = nr;
  int event;
  {
    Lock lock(task_mutex);
    publish(t, q, child);
    event = event_of(t, q);
  }
  t.kernel.scheduler.add(*child);
  if (event) {
    Lock lock(task_mutex);
    stop_for_event(t, event, *child->pid);
    return SyscallAfterPtraceEventClone{};
  }
  if (q.flags & CLONE_VFORK) return SyscallAfterVforkStop{};
  return nr;
}

Result<Ref<Task>> make_process(Kernel& kernel, const ProcessSpec& spec) {
  Lock lock(task_mutex);
  auto pid = TRY(Pid::make(spec.ns.pid_for_children, {}));
  auto g = make_ref<ThreadGroup>(kernel, pid);
  g->handlers = make_ref<SignalHandlers>();
  g->limits = spec.limits;
  g->start_ns = kernel.time.monotonic();
  g->timers = std::make_shared<PosixTimers>(kernel, *g);
  auto t = make_ref<Task>(kernel, pid, g);
  t->creds = spec.creds;
  t->fs = spec.fs;
  t->fds = spec.fds;
  t->ns = spec.ns;
  t->start_ns = g->start_ns;
  pid->task = t.get();
  pid->group = g.get();
  g->leader = t.get();
  g->tasks.push_back(t.get());
  g->live = 1;
  auto session = make_ref<Session>(pid);
  session->leader = g.get();
  g->process_group = make_ref<ProcessGroup>(pid, session);
  g->process_group->members.insert(g.get());
  if (kernel.init) {
    g->parent = kernel.init.get();
    kernel.init->children.push_back(g.get());
    g->ref();
  } else {
    spec.ns.pid_for_children->init = g.get();
  }
  kernel.adopt(t);
  return t;
}

}  // namespace usk
