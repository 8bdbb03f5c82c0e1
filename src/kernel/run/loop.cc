// Advances one task until it waits, runs guest code or ends.
#include "base/log.h"
#include "kernel/debug/session.h"
#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "kernel/task/exec.h"
#include "kernel/task/exit.h"

namespace usk {

namespace {
thread_local Task* t_current = nullptr;

struct Advancing {
  explicit Advancing(Task& t) { t_current = &t; }
  ~Advancing() { t_current = nullptr; }
};

// The stop check of the run loop: whether a stop keeps the task where it is. A kill ends those of
// the kernel itself (vfork and exec waits are killable), and those of ptrace when it comes.
bool is_stopped(Task& t) {
  Lock lock(task_mutex);
  if (t.tracing.stop || waits_for_namespace(t)) return true;
  if (t.group->exiting || t.killed_by_exec) return false;
  if (t.in_group_stop || t.vfork_child) return true;
  if (t.group->debugger && t.group->debugger->holds(t)) return true;
  return t.group->exec_task == &t && exec_waits(t);
}

// Wakes a parked task at its deadline.
class ParkTimer final : public TimerClient {
 public:
  explicit ParkTimer(Ref<Task> t) : task_(std::move(t)) {}
  void expired() override { task_->kernel.scheduler.wake(*task_); }

 private:
  Ref<Task> task_;
};

Step run_state(Task& t) {
  switch (t.state.id()) {
#define RUN_STATE(Name) \
  case StateId::k##Name: return Name{}.run(t);
#include "kernel/run/states.def"
#undef RUN_STATE
  }
  CHECK(!"no such run state");
}

void check_edge(Task& t, RunState from, RunState to) {
  if (t.kernel.edge_log) t.kernel.edge_log->add(from, to);
#ifdef USK_DEBUG_CHECKS
  if (!is_edge(t.kernel.options().stop_order, state_name(from), state_name(to))) {
    LOG_ERROR("run state {} may not lead to {}", state_name(from), state_name(to));
    CHECK(!"unlisted run-state edge");
  }
#endif
}

}  // namespace

bool Kernel::park(Task& t) {
  if (!scheduler.park(t)) return false;
  if (t.group->debugger) t.group->debugger->thread_parked();
  return true;
}

Task* current_task() { return t_current; }

void Kernel::advance(Task& t) {
  const Advancing advancing(t);
  for (;;) {
    if (t.may_be_stopped) {
      if (is_stopped(t)) {
        if (park(t)) return;
        continue;
      }
      t.may_be_stopped = t.group->debugger != nullptr;  // Who may want to hold it at any step.
    }
    const RunState from = t.state;
    const Step step = run_state(t);
    if (const auto* next = std::get_if<RunState>(&step)) {
      check_edge(t, from, *next);
      t.state = *next;
    } else if (const auto* wait = std::get_if<Park>(&step)) {
      check_edge(t, from, wait->next);
      t.state = wait->next;
      if (!wait->until.infinite()) {
        t.park_timer = make_ref<ParkTimer>(Ref<Task>::share(&t));
        time.arm(t.park_timer, CLOCK_MONOTONIC, wait->until.ns);
      }
      t.usage.voluntary++;
      if (!park(t)) continue;
      if (t.cpu) t.cpu->park();
      return;
    } else if (const auto* yield = std::get_if<Yield>(&step)) {
      check_edge(t, from, yield->next);
      t.state = yield->next;
      scheduler.yield(t);
      return;
    } else if (const auto* guest = std::get_if<InGuest>(&step)) {
      check_edge(t, from, guest->next);
      t.state = guest->next;
      return;
    } else {
      scheduler.finish(t);
      return;
    }
  }
}

}  // namespace usk
