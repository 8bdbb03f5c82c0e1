#include "kernel/task/thread_group.h"

#include <algorithm>

#include "fs/vfs/saving.h"
#include "kernel/core/core_dump.h"
#include "kernel/kernel.h"
#include "kernel/time/posix_timers.h"

namespace usk {

USK_SAVED(Session, "kernel/session")
USK_SAVED(ProcessGroup, "kernel/process_group")
USK_SAVED(ThreadGroup, "kernel/thread_group")
USK_SAVED(SignalHandlers, "kernel/signal_handlers")

Usage& Usage::operator+=(const Usage& o) {
  user_ns += o.user_ns, system_ns += o.system_ns;
  max_rss_kb = std::max(max_rss_kb, o.max_rss_kb);
  minor_faults += o.minor_faults, major_faults += o.major_faults;
  voluntary += o.voluntary, involuntary += o.involuntary;
  read_chars += o.read_chars, written_chars += o.written_chars;
  reads += o.reads, writes += o.writes;
  in_blocks += o.in_blocks, out_blocks += o.out_blocks;
  return *this;
}

Session::Session(Ref<Pid> p) : id(std::move(p)) { set_in_pid(this); }
Session::~Session() { set_in_pid(nullptr); }
void Session::set_in_pid(Session* s) NO_THREAD_SAFETY_ANALYSIS { id->session = s; }

ProcessGroup::ProcessGroup(Ref<Pid> p, Ref<Session> s) : id(std::move(p)), session(std::move(s)) {
  set_in_pid(this);
}
ProcessGroup::~ProcessGroup() { set_in_pid(nullptr); }
void ProcessGroup::set_in_pid(ProcessGroup* g) NO_THREAD_SAFETY_ANALYSIS { id->process_group = g; }

bool ProcessGroup::is_orphaned(const ThreadGroup* leaving) const {
  for (const ThreadGroup* g : members) {
    if (g == leaving || !g->parent || g->zombie) continue;
    const ThreadGroup& parent = *g->parent;
    if (!parent.process_group || &parent == parent.kernel.init.get()) continue;
    if (parent.process_group.get() != this && parent.process_group->session == session) {
      return false;
    }
  }
  return true;
}

bool ProcessGroup::has_stopped_member() const {
  return std::any_of(members.begin(), members.end(),
                     [](const ThreadGroup* g) { return g->stopped; });
}

ThreadGroup::ThreadGroup(Kernel& k, Ref<Pid> p) : kernel(k), pid(std::move(p)) {
  limits.fill({RLIM64_INFINITY, RLIM64_INFINITY});
}

ThreadGroup::~ThreadGroup() = default;

OrFailure<Ref<Session>> Session::make_saved(state::Fields& in) {
  return make_ref<Session>(TRY(in.ref<Pid>("id")));
}

OrFailure<Ref<ProcessGroup>> ProcessGroup::make_saved(state::Fields& in) {
  return make_ref<ProcessGroup>(TRY(in.ref<Pid>("id")), TRY(in.ref<Session>("session")));
}

OrFailure<Ref<ThreadGroup>> ThreadGroup::make_saved(state::Fields& in) {
  return make_ref<ThreadGroup>(*TRY(in.services().get<Kernel>()), TRY(in.ref<Pid>("pid")));
}

OrFailure<void> ThreadGroup::restored(state::Restored&) {
  Lock lock(task_mutex);
  for (ThreadGroup* child : children) {
    if (!child || child->parent != this) return fail("a child of another process");
    child->ref();  // Released when it is reaped.
  }
  if (reaped) return {};
  if (!leader || !process_group || !handlers) return fail("a process without its parts");
  process_group->members.insert(this);
  return {};
}

bool ThreadGroup::reaps_children() {
  // An init that ends waits itself for what it is still given (pid_namespaces(7)).
  if (pid->ns().dead && pid->ns().init == this) return true;
  const SignalAction& a = handlers->of(SIGCHLD);
  return a.is_ignore() || (a.flags & SA_NOCLDWAIT) || kernel.init.get() == this;
}

}  // namespace usk
