// What the steps of tasks tell a debugger, and what it makes of that.
#include <utility>

#include "kernel/debug/session.h"
#include "kernel/kernel.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

using What = DebugStop::What;
using How = DebugSession::Action::How;
using platform::Trap;

// Where a thread may be held: between instructions, before a signal, and in a call that waits.
bool may_be_held(const Task& t) {
  switch (t.state.id()) {
    case StateId::kApp: return !t.trap;
    case StateId::kSyscallReinvoke:
    case StateId::kInterruptAfterSignalDeliveryStop: return true;
    default: return false;
  }
}

// The instruction is there already; its trap says that it was one, or a step onto the next.
bool hit_planted(Task& t, const Trap& trap) {
  if (trap.code == TRAP_TRACE || trap.code == TRAP_HWBKPT) return false;
  return t.mm->is_planted(t.cpu->regs().ip() - 1);
}

void back_to_planted(Task& t) {
  Regs& regs = t.cpu->regs();
  regs.set_ip(regs.ip() - 1);
  regs.orig_rax = uint64_t(-1);
}

}  // namespace

bool is_debuggers_trap(Task& t, const Trap& trap) {
  if (t.group->debugger) return t.group->debugger->takes(t, trap);
  if (trap.signal != SIGTRAP || !hit_planted(t, trap)) return false;
  back_to_planted(t);
  t.stepped_over = t.cpu->regs().ip();
  t.mm->lift(t.stepped_over);
  return true;
}

bool has_stepped_over(Task& t, const Trap& trap) {
  t.mm->lower(std::exchange(t.stepped_over, 0));
  return trap.kind == Trap::Kind::kFault && trap.signal == SIGTRAP && trap.code != TRAP_HWBKPT;
}

bool DebugSession::holds(Task& t) {
  if (t.group->exiting || t.killed_by_exec) return false;
  if (!stopping_ && threads_[&t].how != How::kHold) return false;
  return may_be_held(t);
}

void DebugSession::thread_parked() {
  Lock lock(task_mutex);
  look();
}

bool DebugSession::steps(const Task& t) const {
  const auto it = threads_.find(&t);
  return it != threads_.end() && it->second.how == How::kStep;
}

void DebugSession::enters_guest(Task& t) {
  Thread& th = threads_[&t];
  if (th.watches == watch_generation_) return;
  th.watches = watch_generation_;
  (void)give_watches_to(t);  // Those that it had were granted; this one's may not be.
}

bool DebugSession::takes(Task& t, const Trap& trap) {
  if (trap.signal != SIGTRAP) return takes_unrun(t, trap);
  if (trap.code == TRAP_HWBKPT) return takes_hardware(t);
  Lock lock(task_mutex);
  if (hit_planted(t, trap)) {
    back_to_planted(t);
    // Where others were the reason already, it will come here again.
    if (!stopping_) stop_for({.what = What::kBreakpoint, .tid = t.pid->root_nr()});
    return true;
  }
  if (!steps(t)) return false;
  t.cpu->regs().orig_rax = uint64_t(-1);
  step_done(t);
  return true;
}

// A breakpoint where no code may run, such as on the stack: debuggers put them there for functions
// that they call to return to. It is as good as any.
bool DebugSession::takes_unrun(Task& t, const Trap& trap) {
  if ((trap.signal != SIGSEGV && trap.signal != SIGILL) || !t.mm->is_planted(t.cpu->regs().ip())) {
    return false;
  }
  t.cpu->regs().orig_rax = uint64_t(-1);
  Lock lock(task_mutex);
  if (!stopping_) stop_for({.what = What::kBreakpoint, .tid = t.pid->root_nr()});
  return true;
}

bool DebugSession::takes_hardware(Task& t) {
  const uint64_t met = t.cpu->debug_status();
  for (size_t i = 0; i < watches_.size(); i++) {
    const auto& w = watches_[i];
    if (!w || !(met & 1u << i)) continue;
    t.cpu->set_debug_status(0);
    t.cpu->regs().orig_rax = uint64_t(-1);
    const bool code = w->access == Access::kExecute;
    Lock lock(task_mutex);
    if (code && stopping_) return true;
    stop_for({.what = code ? What::kHardware : What::kWatch,
              .tid = t.pid->root_nr(),
              .address = w->addr,
              .any_access = w->access == Access::kAny});
    return true;
  }
  return false;
}

bool DebugSession::shows_signal(Task& t, const siginfo_t& info) {
  const SignalSet bit = signal_bit(info.si_signo);
  if (info.si_signo == SIGKILL || t.fatal_signal_pending()) return false;
  if ((passed_ | t.hidden_signals) & bit) return false;
  t.tracing.signal_shown = info;
  t.tracing.resume_signal = 0;
  threads_[&t].signal = info.si_signo;
  stop_for({.tid = t.pid->root_nr(), .signal = info.si_signo});
  return true;
}

void DebugSession::step_done(Task& t) {
  if (!stopping_) stop_for({.tid = t.pid->root_nr(), .signal = SIGTRAP});
}

bool DebugSession::ends_call(const Task& t) const {
  const auto it = threads_.find(&t);
  return it != threads_.end() && it->second.wanted;
}

void DebugSession::call_ended(Task& t) {
  Thread& th = threads_[&t];
  if (th.wanted) {
    th.ended_call = t.cpu->regs().result();
    const Regs wanted = *std::exchange(th.wanted, std::nullopt);
    (void)put_registers(t, wanted);  // They were looked at when they were set.
    return;
  }
  if (th.how != How::kStep) return;
  Lock lock(task_mutex);
  step_done(t);
}

void DebugSession::handler_begins(Task& t) {
  if (steps(t)) step_done(t);
}

// The breakpoints went with the memory that they were in; threads other than this one, and what it
// was told to do, too.
void DebugSession::execed(Task& t) {
  planted_.clear();
  watches_ = {};
  mm_ = t.mm;
  Lock lock(task_mutex);
  threads_.clear();
  t.may_be_stopped = true;
  if (!stops_at_exec_) return look();
  stops_.clear();
  stop_for({.what = What::kExec, .tid = t.pid->root_nr()});
}

void DebugSession::thread_ends(Task& t) {
  Lock lock(task_mutex);
  threads_.erase(&t);
  std::erase_if(stops_, [&](const DebugStop& s) { return s.tid == t.pid->root_nr(); });
  if (t.group->exiting) return;
  if (stopping_) return look();
  const auto rest = threads_locked();
  for (Task* other : rest) {
    if (threads_[other].how != How::kHold) return;
  }
  if (!rest.empty()) stop_for({.what = What::kNoThread, .tid = rest[0]->pid->root_nr()});
}

void DebugSession::process_ended(int wait_status) {
  process_->debugger = nullptr;
  over_ = stopping_ = settled_ = true;
  planted_.clear();
  mm_.reset();
  stops_.assign(1, {.what = What::kEnded, .status = wait_status});
  notify_();
}

}  // namespace usk
