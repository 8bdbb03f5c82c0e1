#include "kernel/debug/session.h"

#include "base/log.h"
#include "kernel/kernel.h"
#include "kernel/run/syscall_states.h"
#include "kernel/run/watched_calls.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

using What = DebugStop::What;
using How = DebugSession::Action::How;

bool is_alive(const Task& t) REQUIRES(task_mutex) { return !t.exiting && !t.dead && t.cpu && t.mm; }

}  // namespace

DebugSession::DebugSession(Ref<ThreadGroup> process, std::function<void()> settled)
    : process_(std::move(process)), notify_(std::move(settled)) {}

Result<std::unique_ptr<DebugSession>> DebugSession::attach(Ref<ThreadGroup> process,
                                                           std::function<void()> settled) {
  Lock lock(task_mutex);
  ThreadGroup& g = *process;
  if (g.zombie || g.reaped || g.exiting || !g.leader) return Err(ESRCH);
  if (g.debugger) return Err(EBUSY);
  for (const Task* t : g.tasks) {
    if (t->traced) return Err(EBUSY);
  }
  std::unique_ptr<DebugSession> s(new DebugSession(std::move(process), std::move(settled)));
  s->begin();
  return s;
}

void DebugSession::begin() {
  process_->debugger = this;
  for (Task* t : threads_locked()) {
    mm_ = t->mm;
    watch_calls(*t);
  }
  stops_.push_back({.tid = process_->pid->root_nr()});
  stop_all();
}

DebugSession::~DebugSession() {
  Lock lock(task_mutex);
  if (mm_) {
    for (uint64_t addr : planted_) mm_->unplant(addr);
  }
  if (!over_) let_go();
  process_.reset();  // The last count of a pid gives its number back.
}

void DebugSession::let_go() {
  if (watch_generation_) {
    watches_ = {};
    for (Task* t : threads_locked()) {
      const auto& d = t->debug;
      (void)t->cpu->set_debug_registers({d[0], d[1], d[2], d[3]}, d[7]);
    }
  }
  process_->debugger = nullptr;
  for (Task* t : threads_locked()) {
    const Thread& th = threads_[t];
    if (th.signal) t->tracing.resume_signal = th.signal;
    watch_calls(*t);
    t->kernel.scheduler.kick(*t);
  }
}

std::vector<Task*> DebugSession::threads_locked() {
  std::vector<Task*> out;
  for (Task* t : process_->tasks) {
    if (is_alive(*t)) out.push_back(t);
  }
  return out;
}

std::vector<Task*> DebugSession::threads() {
  Lock lock(task_mutex);
  return over_ ? std::vector<Task*>() : threads_locked();
}

Task* DebugSession::find(int tid) {
  for (Task* t : threads()) {
    if (t->pid->root_nr() == tid) return t;
  }
  return nullptr;
}

std::optional<DebugStop> DebugSession::take_stop() {
  if (!settled_ || stops_.empty()) return std::nullopt;
  const DebugStop stop = stops_.front();
  stops_.pop_front();
  Task* t = find(stop.tid);
  if (t && threads_[t].signal) threads_[t].told = true;
  return stop;
}

void DebugSession::stop_all() {
  stopping_ = true;
  settled_ = false;
  for (Task* t : process_->tasks) {
    t->may_be_stopped = true;
    if (!t->dead && t->kernel.scheduler.is_active(*t)) t->kernel.scheduler.kick(*t);
  }
  look();
}

void DebugSession::stop_for(const DebugStop& stop) {
  stops_.push_back(stop);
  stop_all();
}

void DebugSession::look() {
  if (!stopping_ || settled_) return;
  for (Task* t : threads_locked()) {
    if (t->kernel.scheduler.is_active(*t)) return;
  }
  settled_ = true;
  notify_();
}

void DebugSession::interrupt() {
  Lock lock(task_mutex);
  if (over_ || stopping_) return;
  stop_for({.tid = process_->pid->root_nr(), .signal = SIGINT});
}

void DebugSession::resume(const std::function<Action(Task&)>& choose) {
  Lock lock(task_mutex);
  if (over_) return notify_();  // Its end is still to be told.
  if (!settled_) return;
  for (Task* t : threads_locked()) {
    const Action a = choose(*t);
    Thread& th = threads_[t];
    th.how = a.how;
    if (a.how == How::kHold || (th.signal && !th.told)) continue;
    if (th.signal) {
      t->tracing.resume_signal = a.signal;
      th.signal = 0, th.told = false;
    } else if (a.signal) {
      (void)send_signal(*t, user_siginfo(a.signal, SI_USER, 0, 0), SignalScope::kTask);
    }
  }
  if (!stops_.empty()) return notify_();  // There is more to tell first.
  stopping_ = settled_ = false;
  for (Task* t : threads_locked()) {
    if (threads_[t].how != How::kHold) t->kernel.scheduler.kick(*t);
  }
}

void DebugSession::kill() {
  Lock lock(task_mutex);
  if (!over_) begin_group_exit(*process_, SIGKILL);
}

}  // namespace usk
