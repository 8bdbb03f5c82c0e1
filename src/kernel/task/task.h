// A guest thread.
#pragma once
#include <sched.h>

#include <any>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "base/shared_any.h"
#include "base/timer.h"
#include "creds/creds.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/walk.h"
#include "kernel/ptrace/tracing.h"
#include "kernel/run/outcome.h"
#include "kernel/run/run_state.h"
#include "kernel/seccomp/state.h"
#include "kernel/seccomp/user_dispatch.h"
#include "kernel/signal/signal.h"
#include "kernel/task/fs_state.h"
#include "kernel/task/namespaces.h"
#include "kernel/task/thread_group.h"
#include "kernel/wait/wait_set.h"
#include "mm/user.h"
#include "platform/platform.h"

namespace usk {

class Kernel;
struct ExecImage;    // kernel/task/exec.h
struct FutexWaiter;  // kernel/futex/futex.h

// The system call a task is in. Kept while it waits; a new one for each call.
struct SyscallFrame {
  uint64_t nr = 0;
  std::array<uint64_t, 6> args{};
  bool first = true;                 // The handler has not been called yet.
  bool begun = false;                // By the platform: Trap::begun. The deadline is set.
  std::optional<Deadline> deadline;  // Absolute from the first call on.
  int64_t progress = 0;              // Bytes already done; what a signal returns, if any.
  std::vector<std::pair<int, Ref<File>>> pins;  // Files stay those of the first call.
  SharedAny extra;                              // What else a handler keeps between calls.
  int64_t result = 0;
  bool registers_set = false;
  bool vsyscall = false;  // Made by a jump into the vsyscall page.
  // Another call begins. What the one before it held on to was let go by SyscallExit.
  void begin(uint64_t number, const std::array<uint64_t, 6>& arguments);
  USK_FIELDS(nr, args, first, begun, deadline, progress, pins, extra, result, registers_set,
             vsyscall)
};

// What restart_syscall(2) goes on with.
struct RestartBlock {
  enum class Kind { kNone, kNanosleep, kPoll, kFutex } kind = Kind::kNone;
  Deadline until;
  std::array<uint64_t, 6> args{};
  int clock = 0;
  USK_FIELDS(kind, until, args, clock)
};

// rseq(2), set_robust_list(2) and sigaltstack(2) registrations.
struct RseqArea {
  uint64_t addr = 0;
  uint32_t length = 0, signature = 0;
  USK_FIELDS(addr, length, signature)
};
struct AltStack {
  uint64_t addr = 0, size = 0;
  int flags = SS_DISABLE;
  USK_FIELDS(addr, size, flags)
};

// Linux's task_struct. Whoever advances the task owns its own members; those marked are guarded by
// task_mutex.
class Task final : public RefCounted {
 public:
  Task(Kernel& kernel, Ref<Pid> pid, Ref<ThreadGroup> group);
  ~Task() override;

  Kernel& kernel;
  const Ref<Pid> pid;
  const Ref<ThreadGroup> group;

  // --- Run state.
  RunState state = App{};
  // Reported, not yet looked at. Its deadline is on the guest's clock.
  std::optional<platform::Trap> trap;
  SyscallFrame frame;
  RestartBlock restart;
  std::unique_ptr<platform::Thread> cpu;
  // What `cpu` is to begin with, in a state that is saved or restored; else null.
  std::unique_ptr<platform::ThreadState> saved_cpu;
  Ref<TimerClient> park_timer;  // Armed while parked with a deadline.

  // --- Resources, replaced by unshare(2), setns(2) and execve(2). Readers on other threads
  // (procfs) take them under task_mutex.
  Ref<AddressSpace> mm;
  Ref<FdTable> fds;
  Ref<FsState> fs;
  Ref<const Creds> creds;
  Ref<const Creds> answered_creds;  // Those that the platform answers with; null: none yet.
  Namespaces ns;
  std::array<char, 16> comm{};

  // --- Who looks at its calls first.
  seccomp::State seccomp;
  seccomp::UserDispatch dispatch;

  // --- Signals.
  SignalSet blocked GUARDED_BY(task_mutex) = 0;
  // The mask to return to after sigsuspend and the like, once a handler was called or none.
  std::optional<SignalSet> saved_mask GUARDED_BY(task_mutex);
  // sigtimedwait(2): signals that wake although they are blocked.
  SignalSet awaited GUARDED_BY(task_mutex) = 0;
  PendingSignals pending GUARDED_BY(task_mutex);
  // Faults that force_signal() queued: not subject to an init's immunity.
  SignalSet forced_signals GUARDED_BY(task_mutex) = 0;
  SignalSet hidden_signals GUARDED_BY(task_mutex) = 0;  // A tracer does not get to see those.
  // The last fault, for a handler's frame: cr2, the processor's error code and trap number (both
  // 0 where the platform cannot tell).
  struct Fault {
    uint64_t address = 0, error = 0, number = 0;
    USK_FIELDS(address, error, number)
  } fault;
  // Something of a signal, stop or kill is to be looked at before guest code runs on.
  std::atomic<bool> interrupted{false};
  AltStack alt_stack;
  WaitQueue signal_queue;  // signalfd(2) and sigtimedwait(2) of this task.

  // --- Stops.
  bool in_group_stop GUARDED_BY(task_mutex) = false;
  bool group_stop_pending GUARDED_BY(task_mutex) = false;
  bool group_stop_counted GUARDED_BY(task_mutex) = false;  // In ThreadGroup::threads_to_stop.
  int group_stop_signal GUARDED_BY(task_mutex) = 0;        // Of the last one it was to join.
  // A stop signal was dequeued, and no SIGCONT has come since.
  bool stop_dequeued GUARDED_BY(task_mutex) = false;
  Tracing tracing GUARDED_BY(task_mutex);
  std::atomic<bool> traced{false};  // It has a tracer.
  std::array<uint64_t, 8> debug{};  // Debug registers as its tracer has set them.
  Task* vfork_child GUARDED_BY(task_mutex) = nullptr;  // Waited for.
  Ref<Pid> vfork_pid GUARDED_BY(task_mutex);           // Its id, which a tracer is told then.
  // Set by each step of its own that may leave it in a stop; the run loop looks only then, and
  // takes it back when it goes on. Belongs to whoever advances the task.
  bool may_be_stopped = true;
  Ref<Task> vfork_parent GUARDED_BY(task_mutex);  // Waits for this one.
  std::shared_ptr<ExecImage> exec_image;

  // It runs one instruction in the place of which another process's debugger has put a breakpoint,
  // in memory that both share; 0: none.
  uint64_t stepped_over = 0;

  // --- Exit.
  bool exiting GUARDED_BY(task_mutex) = false;
  bool killed_by_exec GUARDED_BY(task_mutex) = false;  // Another thread calls execve.
  bool zaps_namespace GUARDED_BY(task_mutex) = false;  // Ends its pid namespace.
  int exit_status GUARDED_BY(task_mutex) = 0;
  bool dead GUARDED_BY(task_mutex) = false;  // Past ExitNotify.
  int exit_signal = SIGCHLD;                 // Of a leader, to its parent; 0: none.
  int parent_death_signal = 0;
  Task* parent_thread GUARDED_BY(task_mutex) = nullptr;

  // --- Registrations and attributes.
  uint64_t clear_child_tid = 0;
  uint64_t robust_list = 0;
  RseqArea rseq;
  uint32_t personality = 0;
  int nice = 0;
  int policy = SCHED_OTHER;
  int realtime_priority = 0;
  bool reset_on_fork = false;
  bool tsc_off = false;  // PR_SET_TSC: reading the time stamp counter is a fault.
  uint64_t timer_slack_ns = 50000;
  int io_priority = 0;
  cpu_set_t affinity;
  int64_t start_ns = 0;
  Usage usage;

  Ref<RefCounted> sem_undo;            // A SemUndo: what semaphores get back at its end.
  std::shared_ptr<FutexWaiter> futex;  // In a futex wait.

  // --- Scheduling: guarded by the scheduler's lock.
  enum class Where { kParked, kQueued, kRunning, kInGuest, kGone };
  Where where = Where::kQueued;
  bool wake_pending = false;

  // --- For handlers.
  UserMemory mem();
  // The file behind fd, held by the call in progress: a later invocation of the same call gets
  // the same file even if the fd was closed or reused while the task slept. EBADF for O_PATH.
  Result<Ref<File>> file(int fd);
  Result<Ref<File>> file_or_path(int fd);
  // Adds a file under RLIMIT_NOFILE.
  Result<int> add_fd(Ref<File> file, bool cloexec, int from = 0);
  WalkContext walk_context() const;
  // Where an *at call starts: AT_FDCWD or a directory descriptor.
  Result<Path> at(int dirfd);
  GuestOut out(UserOut buf);
  GuestIn in(UserIn buf);
  WaitSet& waits() { return waits_; }
  // The call's deadline: `relative_ns` from its first invocation; nothing for "forever".
  Deadline deadline(std::optional<int64_t> relative_ns);
  bool timed_out() const;
  template <class T>
  T& extra() {
    return frame.extra.ensure<T>();
  }

  MemoryLimits memory_limits() const;
  uint64_t limit(int resource) const;
  bool capable(int cap) const { return creds->capable(cap); }
  int tid() const { return pid->own_nr(); }
  int tgid() const { return group->tgid(); }
  PidNamespace& pid_ns() const { return pid->ns(); }
  std::string name() const { return comm.data(); }
  void set_name(std::string_view name);
  bool is_leader() const REQUIRES(task_mutex) { return group->leader == this; }

  // --- Signals (kernel/signal/send.cc).
  // Whether a signal, kill or stop is to be handled before the task goes on.
  bool has_work() REQUIRES(task_mutex);
  void recalc_interrupted() REQUIRES(task_mutex);
  bool fatal_signal_pending() REQUIRES(task_mutex);

  static OrFailure<Ref<Task>> make_saved(state::Fields& in);
  static constexpr int kRestoreStage = -2;
  OrFailure<void> restored(state::Restored&);
  USK_FIELDS(pid, group, state, trap, frame, restart, saved_cpu, mm, fds, fs, creds, ns, comm,
             seccomp, dispatch, blocked, saved_mask, awaited, pending, forced_signals,
             hidden_signals, fault, interrupted, alt_stack, in_group_stop, group_stop_pending,
             group_stop_counted, group_stop_signal, stop_dequeued, tracing, traced, debug,
             vfork_child, vfork_pid, vfork_parent, exec_image, exiting, killed_by_exec,
             zaps_namespace, exit_status, dead, exit_signal, parent_death_signal, parent_thread,
             clear_child_tid, robust_list, rseq, personality, nice, policy, realtime_priority,
             reset_on_fork, tsc_off, timer_slack_ns, io_priority, affinity, start_ns, usage,
             sem_undo, futex, where)

 private:
  WaitSet waits_;
};

// The task that this worker thread advances; null outside of one (boot, timers, tests).
Task* current_task();

}  // namespace usk
