#include "kernel/signal/send.h"

#include <linux/capability.h>
#include <sys/wait.h>

#include "kernel/core/core_dump.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/stop.h"
#include "kernel/task/exit.h"

namespace usk {
namespace {

bool is_kernel_code(int code) { return code > 0 || code == SI_KERNEL; }

// Whether `sig` would do nothing: then it need not be queued. A blocked one may be handled later.
bool is_ignored(Task& t, int sig) REQUIRES(task_mutex) {
  if ((t.blocked | t.awaited) & signal_bit(sig)) return false;
  if (t.traced) return false;  // The tracer may want to know.
  const SignalAction& a = t.group->handlers->of(sig);
  return a.is_ignore() || (a.is_default() && default_action(sig) == DefaultAction::kIgnore);
}

// Linux: an init is immune to signals from inside its namespace that it has no handler for.
bool init_is_immune(Task& t, const siginfo_t& info) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  if (g.pid->ns().init != &g) return false;
  if (&g == g.kernel.init.get()) return true;
  const int sig = info.si_signo;
  const bool from_outside = info.si_code <= 0 && info.si_pid == 0 && sig == SIGKILL;
  if (from_outside || is_kernel_code(info.si_code)) return false;
  return g.handlers->of(sig).is_default() || signal_bit(sig) & kUnblockable;
}

bool wants(Task& t, int sig) REQUIRES(task_mutex) {
  return !t.exiting && !((t.blocked & ~t.awaited) & signal_bit(sig));
}

// Whether this signal, of one that wants it, ends its process at once: waits that only a kill ends
// do not hold it back.
bool ends_at_once(Task& t, int sig) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  return g.handlers->of(sig).is_default() && default_action(sig) == DefaultAction::kTerminate &&
         !(t.blocked & signal_bit(sig)) && !t.traced && !t.in_group_stop && g.pid->ns().init != &g;
}

void alert(Task& t) REQUIRES(task_mutex) {
  t.interrupted = true;
  t.kernel.scheduler.kick(t);
}

void tell(Task& t, int sig) REQUIRES(task_mutex) {
  if (ends_at_once(t, sig)) {
    begin_group_exit(*t.group, sig);
  } else {
    alert(t);
  }
}

// SIGCONT and stop signals cancel each other when they are sent: signal(7).
void before_queueing(ThreadGroup& g, int sig) REQUIRES(task_mutex) {
  if (sig == SIGCONT || sig == SIGKILL) {
    if (sig == SIGCONT) {
      g.pending.discard(kStopSignals);
      for (Task* t : g.tasks) t->pending.discard(kStopSignals);
    }
    end_group_stop(g, /*report=*/sig == SIGCONT);
  } else if (signal_bit(sig) & kStopSignals) {
    g.pending.discard(signal_bit(SIGCONT));
    for (Task* t : g.tasks) t->pending.discard(signal_bit(SIGCONT));
  }
}

// A thread that lives, if one does.
Task* receiver(ThreadGroup& g) REQUIRES(task_mutex) {
  if (g.tasks.empty()) return nullptr;
  Task* to = g.leader;
  for (Task* t : g.tasks) {
    if (!t->exiting && to->exiting) to = t;
  }
  return to;
}

}  // namespace

Result<void> send_signal(Task& target, const siginfo_t& info, SignalScope scope) {
  ThreadGroup& g = *target.group;
  const int sig = info.si_signo;
  if (target.dead || g.zombie) return {};
  if (init_is_immune(target, info)) return {};
  before_queueing(g, sig);
  if (sig == SIGKILL) {
    begin_group_exit(g, SIGKILL);
    return {};
  }
  if (is_ignored(target, sig)) return {};
  PendingSignals& queue = scope == SignalScope::kTask ? target.pending : g.pending;
  const size_t limit = size_t(g.limits[RLIMIT_SIGPENDING].rlim_cur);
  const bool fits = queue.size() < std::min<size_t>(limit, 1u << 17);
  if (!fits && sig >= kFirstRealtime && info.si_code != SI_USER && !is_kernel_code(info.si_code)) {
    return Err(EAGAIN);
  }
  g.kernel.counters.signals++;
  queue.add(info, fits);
  if (scope == SignalScope::kTask) {
    target.signal_queue.wake(POLLIN);
    if (wants(target, sig)) tell(target, sig);
    return {};
  }
  for (Task* t : g.tasks) t->signal_queue.wake(POLLIN);
  if (wants(target, sig)) {
    tell(target, sig);
    return {};
  }
  for (Task* t : g.tasks) {
    if (!wants(*t, sig)) continue;
    tell(*t, sig);
    break;
  }
  return {};
}

Result<void> send_group_signal(ThreadGroup& g, const siginfo_t& info) {
  Task* to = receiver(g);
  return to ? send_signal(*to, info, SignalScope::kGroup) : Result<void>{};
}

void pass_on_signals(Task& t, SignalSet signals) {
  SignalSet left = t.group->pending.set() & signals;
  for (Task* other : t.group->tasks) {
    if (left == 0) return;
    if (other == &t || other->exiting) continue;
    const SignalSet wanted = left & ~(other->blocked & ~other->awaited);
    if (wanted == 0) continue;
    alert(*other);
    left &= ~wanted;
  }
}

bool has_use_for(ThreadGroup& g, int sig) {
  Task* to = receiver(g);
  return to && !is_ignored(*to, sig);
}

int signal_process_group(ProcessGroup& group, const siginfo_t& info) {
  int n = 0;
  const auto members = group.members;
  for (ThreadGroup* g : members) n += send_group_signal(*g, info).has_value();
  return n;
}

void force_signal(Task& t, siginfo_t info) {
  const int sig = info.si_signo;
  SignalAction& a = t.group->handlers->of(sig);
  const bool blocked = t.blocked & signal_bit(sig);
  if (blocked || a.is_ignore()) {
    a = SignalAction{};
    t.blocked &= ~signal_bit(sig);
  }
  t.pending.add(info);
  t.interrupted = true;
  t.forced_signals |= signal_bit(sig);
}

void force_fatal_signal(Task& t, const siginfo_t& info) {
  t.group->handlers->of(info.si_signo) = SignalAction{};
  t.hidden_signals |= signal_bit(info.si_signo);
  force_signal(t, info);
}

void begin_group_exit(ThreadGroup& g, int wait_status) {
  if (g.exiting) {
    if (g.core_dump && wait_status == SIGKILL) {
      g.exit_status = SIGKILL;
      g.core_dump->interrupt();
    }
    return;
  }
  g.exiting = true;
  g.exit_status = wait_status;
  end_group_stop(g, /*report=*/false);
  for (Task* t : g.tasks) {
    leave_stop(*t);
    alert(*t);
  }
}

void kill_group(Task& t, const siginfo_t& info) { CoreDump::begin(t, info); }

bool may_signal(const Task& sender, const Task& target, int sig) {
  if (sender.group.get() == target.group.get()) return true;
  const Creds &a = *sender.creds, &b = *target.creds;
  if (a.euid == b.suid || a.euid == b.uid || a.uid == b.suid || a.uid == b.uid) return true;
  if (a.capable(CAP_KILL, *b.user_ns)) return true;
  return sig == SIGCONT && &sender.group->session() == &target.group->session();
}

void set_blocked(Task& t, SignalSet mask) {
  const SignalSet was = std::exchange(t.blocked, mask & ~kUnblockable);
  pass_on_signals(t, t.blocked & ~was);
  t.recalc_interrupted();
}

void begin_group_stop(Task& t, int sig) {
  ThreadGroup& g = *t.group;
  if (sig != SIGSTOP && g.process_group->is_orphaned()) return;
  if (!t.stop_dequeued || g.exiting || g.exec_task) return;
  if (!g.stopped) g.stop_signal = sig;
  g.threads_to_stop = 0;
  for (Task* other : g.tasks) {
    if (other->exiting || other->in_group_stop) continue;
    other->group_stop_pending = other->group_stop_counted = true;
    other->group_stop_signal = sig;
    g.threads_to_stop++;
    if (other != &t && other->tracing.seized) {
      notify_seized(*other);
    } else {
      alert(*other);
    }
  }
}

bool join_group_stop(Task& t) {
  ThreadGroup& g = *t.group;
  t.group_stop_pending = t.stop_dequeued = false;
  if (!std::exchange(t.group_stop_counted, false) || --g.threads_to_stop > 0 || g.stopped) {
    return false;
  }
  g.stopped = true;
  g.stop_unreported = true;
  g.continued_unreported = false;
  return true;
}

void leave_group_stop(Task& t) {
  t.in_group_stop = false;
  if (!t.group_stop_pending) return;
  if (join_group_stop(t)) notify_parent(*t.group, CLD_STOPPED, t.group->stop_signal);
}

void end_group_stop(ThreadGroup& g, bool report) {
  const bool was_stopped = g.stopped;
  for (Task* t : g.tasks) {
    t->group_stop_pending = t->group_stop_counted = t->stop_dequeued = false;
    if (t->in_group_stop) {
      t->in_group_stop = false;
      t->kernel.scheduler.kick(*t);
    }
    if (t->tracing.seized && report) notify_seized(*t);
  }
  g.stopped = false;
  g.threads_to_stop = 0;
  g.stop_unreported = false;
  if (!report || !was_stopped) return;
  g.continued_unreported = true;
  notify_parent(g, CLD_CONTINUED, SIGCONT);
}

siginfo_t child_siginfo(const Task& child, const Usage& usage, const ThreadGroup& to, int code,
                        int status) {
  constexpr int64_t kTickNs = 10'000'000;
  siginfo_t info = kernel_siginfo(SIGCHLD);
  info.si_code = code;
  info.si_pid = child.pid->nr_in(to.pid->ns());
  info.si_uid = to.leader ? to.leader->creds->user_ns->uid_out(child.creds->uid) : 0;
  info.si_status = status;
  info.si_utime = usage.user_ns / kTickNs;
  info.si_stime = usage.system_ns / kTickNs;
  return info;
}

void notify_parent(ThreadGroup& child, int code, int status) {
  ThreadGroup* parent = child.parent;
  if (!parent || parent->tasks.empty()) return;
  const SignalAction& a = parent->handlers->of(SIGCHLD);
  const bool stop_or_continue = code == CLD_STOPPED || code == CLD_CONTINUED;
  const bool unwanted = stop_or_continue && (a.is_ignore() || a.flags & SA_NOCLDSTOP);
  if (!unwanted && has_use_for(*parent, SIGCHLD)) {
    // For the end of a process what its threads used, for a stop what this thread did.
    const Usage usage = stop_or_continue ? thread_usage(*child.leader) : group_usage(child);
    (void)send_group_signal(*parent, child_siginfo(*child.leader, usage, *parent, code, status));
  }
  parent->child_events.wake(POLLIN);
}

int sender_pid(const Task& sender, const Task& seen_by) {
  return sender.group->pid->nr_in(seen_by.pid_ns());
}

}  // namespace usk
