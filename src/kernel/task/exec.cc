#include "kernel/task/exec.h"

#include <linux/prctl.h>
#include <linux/ptrace.h>

#include "fs/vfs/locks.h"
#include "kernel/debug/session.h"
#include "kernel/futex/futex.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/attach.h"
#include "kernel/ptrace/stop.h"
#include "kernel/signal/send.h"
#include "kernel/task/close.h"
#include "kernel/task/exit.h"
#include "kernel/time/posix_timers.h"

namespace usk {

Outcome begin_exec(Task& t, std::shared_ptr<ExecImage> image) {
  t.exec_image = std::move(image);
  Lock lock(task_mutex);
  ThreadGroup& g = *t.group;
  if (g.exiting || g.exec_task) return Signalled{OnSignal::kNoIntr};  // Another one won.
  if (g.tasks.size() > 1) {
    g.exec_task = &t;
    t.may_be_stopped = true;
    for (Task* other : g.tasks) {
      if (other == &t) continue;
      other->killed_by_exec = true;
      other->interrupted = true;
      leave_stop(*other);
      t.kernel.scheduler.kick(*other);
    }
  }
  return SyscallAfterExecStop{};
}

void release_vfork_parent(Task& t) {
  if (!t.vfork_parent) return;
  Ref<Task> parent = std::exchange(t.vfork_parent, {});
  if (parent->vfork_child == &t) parent->vfork_child = nullptr;
  t.kernel.scheduler.kick(*parent);
}

namespace {

// A thread other than the leader becomes the leader: it takes over its pid.
void take_leadership(Task& t) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  if (g.leader == &t) return;
  Task* old = g.leader;
  unlink_tracee(*old);
  const_cast<Ref<Pid>&>(t.pid)->task = nullptr;
  const_cast<Ref<Pid>&>(t.pid) = g.pid;
  g.pid->task = &t;
  t.exit_signal = old->exit_signal;
  t.parent_thread = old->parent_thread;
  std::erase(g.tasks, old);
  g.leader = &t;
  t.kernel.drop(*old);
}

void reset_signals(Task& t) REQUIRES(task_mutex) {
  ThreadGroup& g = *t.group;
  if (g.handlers->ref_count() > 1) g.handlers = g.handlers->clone();
  g.handlers->reset_for_exec();
  t.alt_stack = AltStack{};
  t.restart = RestartBlock{};
}

}  // namespace

void commit_exec(Task& t) {
  const Ref<Pid> former = t.pid;
  auto image = std::exchange(t.exec_image, nullptr);
  leave_futexes(t);
  std::vector<Ref<File>> closed;
  if (t.fds->ref_count() > 1) t.fds = t.fds->clone();
  closed = t.fds->remove_cloexec();
  close_files(t, std::move(closed));
  image->mm->dump_filter = t.mm->dump_filter;
  Ref<AddressSpace> old_mm = std::exchange(t.mm, image->mm);
  std::unique_ptr<platform::Thread> old_cpu = std::exchange(t.cpu, std::move(image->cpu));
  t.cpu->owner = &t;
  t.answered_creds.reset();
  t.debug = {};
  // The fresh thread may be everywhere, which is what most may; the host decides.
  if (CPU_COUNT(&t.affinity) < CPU_SETSIZE) (void)t.cpu->set_affinity(t.affinity);
  if (t.tsc_off) (void)t.cpu->allow_tsc(false);
  old_cpu->owner = nullptr;
  {
    Lock lock(task_mutex);
    ThreadGroup& g = *t.group;
    g.exec_task = nullptr;
    take_leadership(t);
    reset_signals(t);
    t.creds = image->creds;
    t.set_name(image->comm);
    if (image->secure) t.parent_death_signal = 0;
    g.execed = true;
    t.exit_signal = SIGCHLD;
    release_vfork_parent(t);
    t.recalc_interrupted();
  }
  // As a tracer sees the call before its result is there.
  t.cpu->regs().orig_rax = t.frame.nr;
  t.cpu->regs().set_result(-ENOSYS);
  t.group->timers->reset_for_exec();
  t.clear_child_tid = 0;
  t.robust_list = 0;
  t.rseq = RseqArea{};
  t.dispatch = {};
  t.frame.result = 0;
  if (t.group->debugger) t.group->debugger->execed(t);
  Lock lock(task_mutex);
  stop_for_event(t, PTRACE_EVENT_EXEC, *former);
}

}  // namespace usk
