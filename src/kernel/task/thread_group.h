// A process: what its threads share (Linux's signal_struct), process groups, sessions.
#pragma once
#include <sys/resource.h>

#include <array>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/timer.h"
#include "fs/vfs/terminal.h"
#include "kernel/signal/signal.h"
#include "kernel/task/pid.h"

namespace usk {

class CoreDump;
class DebugSession;
class Kernel;
class PosixTimers;
class Task;

// CPU time and faults: getrusage(2), in nanoseconds.
struct Usage {
  int64_t user_ns = 0, system_ns = 0;
  uint64_t max_rss_kb = 0, minor_faults = 0, major_faults = 0;
  uint64_t voluntary = 0, involuntary = 0, in_blocks = 0, out_blocks = 0;
  uint64_t read_chars = 0, written_chars = 0, reads = 0, writes = 0;  // proc_pid_io(5)
  Usage& operator+=(const Usage& o);
  USK_FIELDS(user_ns, system_ns, max_rss_kb, minor_faults, major_faults, voluntary, involuntary,
             in_blocks, out_blocks, read_chars, written_chars, reads, writes)
};

class Session final : public RefCounted {
 public:
  explicit Session(Ref<Pid> id);
  static OrFailure<Ref<Session>> make_saved(state::Fields& in);
  ~Session() override;
  const Ref<Pid> id;
  ThreadGroup* leader GUARDED_BY(task_mutex) = nullptr;
  Ref<Terminal> terminal GUARDED_BY(task_mutex);
  USK_FIELDS(id, leader, terminal)

 private:
  void set_in_pid(Session* s);
};

class ProcessGroup final : public RefCounted {
 public:
  ProcessGroup(Ref<Pid> id, Ref<Session> session);
  static OrFailure<Ref<ProcessGroup>> make_saved(state::Fields& in);
  ~ProcessGroup() override;
  const Ref<Pid> id;
  const Ref<Session> session;
  std::set<ThreadGroup*> members GUARDED_BY(task_mutex);  // ThreadGroup::restored() adds them.
  // No member has a parent in another group of the same session: POSIX's orphaned group.
  // `leaving` is looked at as if it were gone already.
  bool is_orphaned(const ThreadGroup* leaving = nullptr) const REQUIRES(task_mutex);
  bool has_stopped_member() const REQUIRES(task_mutex);
  USK_FIELDS(id, session)

 private:
  void set_in_pid(ProcessGroup* g);
};

class ThreadGroup final : public RefCounted {
 public:
  ThreadGroup(Kernel& kernel, Ref<Pid> pid);
  ~ThreadGroup() override;
  static OrFailure<Ref<ThreadGroup>> make_saved(state::Fields& in);
  OrFailure<void> restored(state::Restored&);

  Kernel& kernel;
  const Ref<Pid> pid;  // Its tgid.

  // All below is guarded by task_mutex unless it says otherwise.
  std::vector<Task*> tasks;  // Live threads and a zombie leader; the first is the leader.
  Task* leader = nullptr;
  int live = 0;  // Threads that have not begun to exit.

  ThreadGroup* parent = nullptr;       // Null for init.
  std::vector<ThreadGroup*> children;  // In order of birth; holds a count of each.
  WaitQueue child_events;              // Where wait4(2) waits.
  Ref<ProcessGroup> process_group;
  bool is_subreaper = false;
  bool execed = false;  // Has called execve since its birth: setpgid(2) of a child.

  // exit
  bool exiting = false;                 // All threads are to end, with exit_status.
  int exit_status = 0;                  // As wait4(2) reports it.
  std::shared_ptr<CoreDump> core_dump;  // Under way: the threads wait for its end.
  bool zombie = false;                  // The last thread ended; waits to be reaped.
  bool reaped = false;
  Task* exec_task = nullptr;  // The thread that waits for its siblings to go.

  // Job control: signal(7).
  bool stopped = false;  // All threads are, or are on their way.
  int stop_signal = 0;
  int threads_to_stop = 0;       // Have not yet noticed.
  bool stop_unreported = false;  // For WUNTRACED.
  bool continued_unreported = false;

  // Somebody outside of the sandbox debugs it (kernel/debug). Belongs to whoever advances tasks.
  DebugSession* debugger = nullptr;

  PendingSignals pending;  // Shared by its threads.
  Ref<SignalHandlers> handlers;
  std::array<rlimit64, RLIM_NLIMITS> limits;
  Usage dead_threads, reaped_children;
  int oom_score_adj = 0;
  int64_t start_ns = 0;

  std::shared_ptr<PosixTimers> timers;  // Its own lock.

  int tgid() const { return pid->own_nr(); }
  Session& session() const { return *process_group->session; }
  // Signals SIGCHLD's default and SA_NOCLDWAIT: whether children reap themselves.
  bool reaps_children() REQUIRES(task_mutex);

  USK_FIELDS(pid, tasks, leader, live, parent, children, process_group, is_subreaper, execed,
             exiting, exit_status, core_dump, zombie, reaped, exec_task, stopped, stop_signal,
             threads_to_stop, stop_unreported, continued_unreported, pending, handlers, limits,
             dead_threads, reaped_children, oom_score_adj, start_ns, timers)
};

}  // namespace usk
