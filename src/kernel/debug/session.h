// A debugger outside of the sandbox at one of its processes. It is no tracer: the process is not
// traced, its stops are nobody's to wait for, and nobody inside is told of them.
//
// All of a session happens on the thread that advances tasks. Its functions are of two kinds: what
// the debugger asks, between steps of tasks, and what the steps tell (the last group).
#pragma once
#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "kernel/task/task.h"

namespace usk {

// Why the process stopped.
struct DebugStop {
  enum class What {
    kSignal,      // Before `signal` is delivered; SIGTRAP: a step is done; 0, SIGINT: asked to.
    kBreakpoint,  // At a planted one; the thread is to run the instruction there.
    kHardware,    // At one of the debug registers.
    kWatch,       // Memory at `address` was touched: `access`.
    kExec,
    kNoThread,  // Those that were let run have ended.
    kEnded,     // The process has, with wait status `status`. The session is over.
  };
  What what = What::kSignal;
  int tid = 0;  // Pid::root_nr()
  int signal = 0;
  uint64_t address = 0;
  bool any_access = false;  // Reads as well.
  int status = 0;
};

class DebugSession {
 public:
  // Begins to stop all its threads; `settled` is called once they are, and whenever they are again,
  // from the midst of the kernel. ESRCH: it has ended; EBUSY: it has a debugger or a tracer.
  static Result<std::unique_ptr<DebugSession>> attach(Ref<ThreadGroup> process,
                                                      std::function<void()> settled);
  // Detaches from a settled process: breakpoints go, it runs on, a signal that was shown is
  // delivered.
  ~DebugSession();
  DebugSession(const DebugSession&) = delete;

  // --- Running and stopping; all threads stop when one does.
  // What is to be told now; nothing while the process runs or is about to stop.
  std::optional<DebugStop> take_stop();
  bool is_settled() const { return settled_; }
  bool is_over() const { return over_; }
  void interrupt();
  struct Action {
    enum class How { kHold, kRun, kStep } how = How::kRun;
    int signal = 0;  // To go on with.
  };
  void resume(const std::function<Action(Task&)>& choose);
  void kill();
  // Whether execve(2) stops; without, the debugger may be left with the symbols of another program.
  void stop_at_exec(bool yes) { stops_at_exec_ = yes; }
  // Signals that are delivered without a stop.
  void pass_signals(SignalSet signals) { passed_ = signals; }

  // --- What there is. Threads that have begun to exit are left out.
  std::vector<Task*> threads();
  Task* find(int tid);
  ThreadGroup& process() { return *process_; }

  // --- Memory and registers of a settled process.
  Result<size_t> read(uint64_t addr, std::span<std::byte> dst);
  Result<size_t> write(uint64_t addr, std::span<const std::byte> src);
  // A thread that waits in a call shows it as one that is to be restarted. To set others ends the
  // call once the thread goes on, and to set these again starts it anew.
  Regs registers(Task& t);
  // EBUSY: in a call that cannot be ended.
  Result<void> set_registers(Task& t, const Regs& regs);
  Result<void> check_writable(Task& t);
  // Of the signal that a thread is held before.
  std::optional<siginfo_t> signal_info(Task& t);

  // --- Breakpoints. EEXIST and ENOENT are no errors here: asking twice changes nothing.
  Result<void> plant(uint64_t addr);
  void unplant(uint64_t addr);
  // A debug register; `length` in bytes (instructions: 1). ENOSPC, EINVAL, EOPNOTSUPP.
  enum class Access { kExecute = 0, kWrite = 1, kAny = 3 };
  Result<void> watch(uint64_t addr, uint64_t length, Access access);
  void unwatch(uint64_t addr, uint64_t length, Access access);

  // --- What steps of tasks tell.
  // Whether the thread is to stay where it is.
  bool holds(Task& t) REQUIRES(task_mutex);
  void thread_parked();
  bool steps(const Task& t) const;
  void enters_guest(Task& t);
  // A fault; whether it is the debugger's.
  bool takes(Task& t, const platform::Trap& trap);
  // Whether the debugger gets to see a signal before it is delivered: it is in
  // Tracing::signal_shown then, and the choice will be in Tracing::resume_signal.
  bool shows_signal(Task& t, const siginfo_t& info) REQUIRES(task_mutex);
  // Whether the call that the thread waits in is to end, as for a signal.
  bool ends_call(const Task& t) const;
  void call_ended(Task& t);
  void handler_begins(Task& t) REQUIRES(task_mutex);
  void execed(Task& t);
  void thread_ends(Task& t) EXCLUDES(task_mutex);
  void process_ended(int wait_status) REQUIRES(task_mutex);

 private:
  struct Thread {
    Action::How how = Action::How::kRun;
    int signal = 0;     // It is held before this one is delivered.
    bool told = false;  // ... which take_stop() has told.
    // It waits in a call, and is to have these registers instead.
    std::optional<Regs> wanted;
    // What came of the call that was ended so: what the restart that was shown stands for.
    std::optional<int64_t> ended_call;
    uint64_t watches = 0;  // The generation that its debug registers are of.
  };
  struct Watch {
    uint64_t addr = 0, length = 0;
    Access access = Access::kWrite;
  };
  DebugSession(Ref<ThreadGroup> process, std::function<void()> settled);
  void begin() REQUIRES(task_mutex);
  void let_go() REQUIRES(task_mutex);
  void stop_all() REQUIRES(task_mutex);
  void stop_for(const DebugStop& stop) REQUIRES(task_mutex);
  void step_done(Task& t) REQUIRES(task_mutex);
  void look() REQUIRES(task_mutex);
  bool takes_hardware(Task& t);
  bool takes_unrun(Task& t, const platform::Trap& trap);
  Result<void> put_registers(Task& t, const Regs& regs);
  Result<void> give_watches();
  Result<void> give_watches_to(Task& t);
  std::vector<Task*> threads_locked() REQUIRES(task_mutex);

  Ref<ThreadGroup> process_;
  const std::function<void()> notify_;
  std::map<const Task*, Thread> threads_;
  Ref<AddressSpace> mm_;  // That the breakpoints are in.
  std::set<uint64_t> planted_;
  std::array<std::optional<Watch>, 4> watches_;
  uint64_t watch_generation_ = 0;
  SignalSet passed_ = 0;
  bool stopping_ = false;  // All threads are to stop, or have.
  bool settled_ = false;
  bool over_ = false;
  bool stops_at_exec_ = false;
  std::deque<DebugStop> stops_;  // To be told, one at a time.
};

// A fault that some debugger's doing has caused: the task is to go on as if
// nothing had happened, or is held.
bool is_debuggers_trap(Task& t, const platform::Trap& trap);
// The task was to run one instruction under a breakpoint that is not for it (Task::stepped_over).
// Whether that is all that this trap means.
bool has_stepped_over(Task& t, const platform::Trap& trap);

}  // namespace usk
