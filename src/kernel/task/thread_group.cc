#include "kernel/task/thread_group.h"

#include <algorithm>

#include "kernel/kernel.h"

namespace usk {

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

bool ThreadGroup::reaps_children() {
  const SignalAction& a = handlers->of(SIGCHLD);
  return a.is_ignore() || (a.flags & SA_NOCLDWAIT) || kernel.init.get() == this;
}

}  // namespace usk
