#include "kernel/task/wait.h"

#include <sys/wait.h>

#include "kernel/kernel.h"
#include "kernel/ptrace/stop.h"
#include "kernel/task/exit.h"

namespace usk {
namespace {

constexpr int kNoThread = 0x20000000, kAll = 0x40000000, kClone = int(0x80000000);  // __W*

struct Candidate {
  Task& task;   // A child's leader, or a tracee.
  bool traced;  // Seen as a tracee of the caller's process.
};

bool is_wanted(const WaitRequest& q, const Candidate& c) REQUIRES(task_mutex) {
  const Task& t = c.task;
  if (q.what == WaitRequest::kPid && t.pid.get() != q.pid.get()) return false;
  if (q.what == WaitRequest::kGroup &&
      (!t.group->process_group || t.group->process_group->id.get() != q.pid.get())) {
    return false;
  }
  if (c.traced || q.options & kAll) return true;
  return (t.exit_signal != SIGCHLD) == bool(q.options & kClone);
}

int code_of(int status) {
  return WIFEXITED(status) ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
}

// A thread that its tracer may take, or a process that is a zombie as a whole.
bool is_zombie(const Candidate& c) REQUIRES(task_mutex) {
  const Task& t = c.task;
  if (t.group->leader != &t) return t.dead;
  return t.group->zombie && (c.traced || !t.traced);
}

std::optional<WaitResult> zombie(const WaitRequest& q, const Candidate& c) REQUIRES(task_mutex) {
  Task& t = c.task;
  ThreadGroup& g = *t.group;
  if (!is_zombie(c) || !(q.options & WEXITED)) return std::nullopt;
  WaitResult r;
  r.status = g.leader == &t || g.exiting ? g.exit_status : t.exit_status;
  r.code = code_of(r.status);
  return r;
}

void take_zombie(Task& t) REQUIRES(task_mutex) {
  if (t.group->leader != &t || is_reparented(t)) {
    reap_for_tracer(t);
  } else {
    reap(*t.group);
  }
}

std::optional<WaitResult> stopped(const WaitRequest& q, const Candidate& c) REQUIRES(task_mutex) {
  Task& t = c.task;
  ThreadGroup& g = *t.group;
  WaitResult r;
  const bool keep = q.options & WNOWAIT;
  if (c.traced) {  // Whatever the options.
    Tracing& tr = t.tracing;
    if (!tr.stop || tr.stop->listening || !tr.unreported) return std::nullopt;
    r.status = 0x7f | tr.unreported << 8;
    r.code = CLD_TRAPPED;
    if (!keep) tr.unreported = 0;
    return r;
  }
  if (!g.stop_unreported || !(q.options & WSTOPPED)) return std::nullopt;
  r.status = 0x7f | g.stop_signal << 8;
  r.code = CLD_STOPPED;
  if (!keep) g.stop_unreported = false;
  return r;
}

std::optional<WaitResult> continued(const WaitRequest& q, const Candidate& c) REQUIRES(task_mutex) {
  ThreadGroup& g = *c.task.group;
  if (!g.continued_unreported || !(q.options & WCONTINUED)) return std::nullopt;
  if (!(q.options & WNOWAIT)) g.continued_unreported = false;
  return WaitResult{.status = 0xffff, .code = CLD_CONTINUED};
}

// A zombie's children count, too.
Usage usage_of(Task& t, bool zombie) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  if (!zombie || g.leader != &t) return thread_usage(t);
  Usage u = group_usage(g);
  u += g.reaped_children;
  return u;
}

std::optional<WaitResult> look_at(Task& t, const WaitRequest& q, const Candidate& c)
    REQUIRES(task_mutex) {
  auto r = zombie(q, c);
  const bool is_end = r.has_value();
  if (!r) r = stopped(q, c);
  if (!r) r = continued(q, c);
  if (!r) return r;
  r->pid = c.task.pid->nr_in(t.pid_ns());
  r->uid = t.creds->user_ns->uid_out(c.task.creds->uid);
  if (q.with_usage) r->usage = usage_of(c.task, is_end);
  if (is_end && !(q.options & WNOWAIT)) take_zombie(c.task);
  return r;
}

// Children first, then tracees, as far as the options let them be looked at.
std::vector<Candidate> candidates(Task& t, const WaitRequest& q) REQUIRES(task_mutex) {
  const bool own_only = q.options & kNoThread;
  std::vector<Candidate> all;
  for (ThreadGroup* child : t.group->children) {
    Task& leader = *child->leader;
    if (own_only && leader.parent_thread != &t) continue;
    // Who traces its own child sees it as a tracee alone: a stop is not reported twice.
    const bool traced = leader.traced && !is_reparented(leader);
    all.push_back({leader, traced});
  }
  for (Task* thread : t.group->tasks) {
    if (own_only && thread != &t) continue;
    for (Task* tracee : thread->tracing.tracees) {
      const bool own = !own_only || tracee->parent_thread == &t;
      const bool seen = own && tracee->group->leader == tracee && !is_reparented(*tracee);
      if (!seen) all.push_back({*tracee, true});
    }
  }
  return all;
}

}  // namespace

Result<std::optional<WaitResult>> look_at_children(Task& t, const WaitRequest& q) {
  Lock lock(task_mutex);
  bool any = false;
  for (const Candidate& c : candidates(t, q)) {
    if (!is_wanted(q, c)) continue;
    any = true;
    if (auto r = look_at(t, q, c)) return r;
  }
  if (!any) return Err(ECHILD);
  return std::nullopt;
}

}  // namespace usk
