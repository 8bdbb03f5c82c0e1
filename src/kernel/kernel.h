// One sandbox's kernel: what all its tasks share, and the loop that advances them.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/failure.h"
#include "base/host_poller.h"
#include "kernel/core/settings.h"
#include "kernel/memory/memory_watch.h"
#include "kernel/ptrace/yama.h"
#include "kernel/run/edge_log.h"
#include "kernel/run/load_average.h"
#include "kernel/run/scheduler.h"
#include "kernel/task/task.h"
#include "kernel/time/timekeeper.h"
#include "platform/platform.h"

namespace usk {

class Kernel;

// Where a kernel's tasks come from: programs that were started, an image, or another sandbox.
struct Origin {
  enum class Role : uint8_t { kOriginal, kRestored, kForked } role = Role::kOriginal;
  uint64_t generation = 0;  // How often they came from elsewhere.
};

// Who sees what tasks do: --trace, `usk trace`.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  // Before the first invocation, and with the result.
  virtual void entered(Task& t, const SyscallFrame& frame) = 0;
  virtual void left(Task& t, const SyscallFrame& frame, int64_t result) = 0;
  virtual void signalled(Task& t, const siginfo_t& info) = 0;
  virtual void exited(Task& t, int status) = 0;
};

// What the layers above give the kernel: the system call table and its observers.
struct SyscallHooks {
  // Calls the handler of frame.nr; ENOSYS for an unknown number.
  SyscallResult (*invoke)(Task& t, SyscallFrame& frame) = nullptr;
  std::vector<CallObserver*> observers;
  // A call begins; one that was invoked for the first time waits. Unlike observers, these change
  // nothing of how calls come to the kernel. Null: nobody asks.
  std::function<void()> on_call, on_block;
  // Starts a program as root, with `input` as its standard input and nowhere to write (core(5),
  // "Piping core dumps to a program"). An error: nothing was started.
  std::function<Result<void>(Kernel&, const std::vector<std::string>& argv, Ref<File> input)>
      start_helper;
  // A program asks for a checkpoint of the sandbox (/proc/usk/checkpoint), under a name or none.
  // `done` is called when nothing runs, before the image is written, so that copies have the
  // answer, too; then with EINPROGRESS, as the original is to wait on, and with how it ended. Null:
  // programs may not ask.
  std::function<Result<void>(std::string name, std::function<void(Result<void>)> done)>
      ask_checkpoint;
};

struct KernelOptions {
  uint64_t memory_limit = UINT64_MAX;  // Of all processes together, in bytes.
  uint64_t max_tasks = UINT64_MAX;
  StopOrder stop_order = StopOrder::k48;
};

class Kernel {
 public:
  Kernel(std::unique_ptr<platform::Platform> platform, KernelOptions options);
  ~Kernel();

  platform::Platform& platform() { return *platform_; }
  const KernelOptions& options() const { return options_; }

  // Advances tasks until `done` says so; looked at after each round.
  void run(const std::function<bool()>& done);
  // Ends every process at once: the sandbox's own end.
  void kill_all();
  // Until one of the threads in the guest comes in; tasks are not advanced (kernel/saved.h).
  void wait_for_guest();
  // Like a frozen cgroup (cgroups(7)): no task does anything until resume(). Clocks and timers go
  // on; what they, the host and other sandboxes do to tasks waits for these. kill_all() resumes.
  // What the host does for threads meanwhile is not their processor time.
  void pause() EXCLUDES(task_mutex);
  void resume() EXCLUDES(task_mutex);
  // Before there are tasks: those that come are paused from the start, and time stands still.
  // `begins` is called when they are resumed.
  void begin_paused(std::function<void()> begins);
  bool is_paused() const { return paused_; }

  // Tasks that exist, zombies too. The kernel holds them.
  void adopt(Ref<Task> t) REQUIRES(task_mutex);
  void drop(Task& t) REQUIRES(task_mutex);
  size_t task_count() REQUIRES(task_mutex) { return tasks_.size(); }
  // --memory: whether processes may ask for `bytes` more of writable memory. ENOMEM.
  Result<void> check_memory(Task& t, uint64_t bytes, uint32_t prot, uint32_t flags);
  std::vector<Ref<Task>> all_tasks() EXCLUDES(task_mutex);
  uint64_t resident_bytes() EXCLUDES(task_mutex);
  // Null without --memory.
  MemoryWatch* memory_watch() { return memory_watch_.get(); }
  uint64_t count_tasks_of(Uid uid) REQUIRES(task_mutex);
  // A session leader ended: its terminal hangs up once no task lock is held.
  void leader_exits(Ref<Terminal> terminal, SessionId session) REQUIRES(task_mutex);

  Scheduler scheduler;
  Timekeeper time;
  SyscallHooks hooks;
  // Work that waits for nothing: a little of it between all else, again for as long as it says so.
  std::function<bool()> background;
  // All of it, where the loop has ended.
  void finish_background();
  HostPoller* poller = nullptr;  // Host descriptors that files and commands wait for.

  CoreSettings core;
  Ref<UserNamespace> root_user_ns;
  Ref<PidNamespace> root_pid_ns;
  Ref<ThreadGroup> init;  // Process 1: adopts orphans; has no code of its own.
  // Counts since start, for /proc/stat and `usk stats`.
  struct Counters {
    std::atomic<uint64_t> syscalls{0}, traps{0}, faults{0}, forks{0}, signals{0}, wakes{0};
    USK_FIELDS(syscalls, traps, faults, forks, signals, wakes)
  } counters;
  Yama yama;
  std::unique_ptr<EdgeLog> edge_log;  // Null: nobody asks.
  int64_t boot_ns = 0;                // CLOCK_MONOTONIC of its start.
  Origin origin;
  LoadAverage load;
  // Tasks that run or could run; brings the load average up to date.
  size_t count_active() EXCLUDES(task_mutex);

  // Beside its tasks (kernel/saved.h).
  USK_FIELDS(time, core, root_user_ns, root_pid_ns, init, counters, yama, boot_ns, load)

 private:
  void advance(Task& t);
  // False: it was woken meanwhile.
  bool park(Task& t);
  void look_at_load(uint64_t now) EXCLUDES(task_mutex);
  // A bounded number of steps of tasks; whether there was any. `begin` is now, in host::ticks().
  bool advance_some(uint64_t begin);
  void on_trap(platform::Thread& thread, const platform::Trap& trap);

  std::unique_ptr<platform::Platform> platform_;
  const KernelOptions options_;
  std::unique_ptr<MemoryWatch> memory_watch_;
  std::map<Task*, Ref<Task>> tasks_ GUARDED_BY(task_mutex);
  struct HangUp {
    Ref<Terminal> terminal;
    SessionId session;
  };
  std::vector<HangUp> hang_ups_ GUARDED_BY(task_mutex);
  std::atomic<bool> has_hang_ups_{false};
  void hang_up_terminals() EXCLUDES(task_mutex);
  void do_background();
  bool paused_ = false;
  std::function<void()> begins_;    // Null: tasks have run.
  uint64_t load_look_at_ = 0;       // In host::ticks().
  std::vector<Ref<Task>> dropped_;  // Freed between rounds, never inside a task's own step.
};

}  // namespace usk
