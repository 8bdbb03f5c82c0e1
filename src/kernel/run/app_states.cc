// Guest code on the CPU.
#include "base/log.h"
#include "kernel/debug/session.h"
#include "kernel/kernel.h"
#include "kernel/run/watched_calls.h"
#include "kernel/signal/rseq.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

using platform::Trap;

void on_fault(Task& t, const Trap& trap) {
  t.kernel.counters.faults++;
  if (trap.signal == SIGSEGV && t.mm->bring(*t.cpu, trap.address, 1)) return;
  const bool never_comes = t.mm->is_missing(trap.address);
  if (!never_comes && t.mm->is_late(trap, t.cpu->regs().rip)) return;
  if (trap.signal == SIGSEGV && trap.code == SEGV_MAPERR &&
      t.mm->grow_stack(*t.cpu, trap.address, t.memory_limits())) {
    return;
  }
  if (is_debuggers_trap(t, trap)) return;
  siginfo_t info = fault_siginfo(trap.signal, trap.code, trap.address);
  if (trap.code == SI_KERNEL) info.si_addr = nullptr;
  t.cpu->regs().orig_rax = -1;
  Lock lock(task_mutex);
  t.fault = {trap.address, trap.error, trap.number};
  force_signal(t, info);
}

// Lets the platform answer who the task is, where nobody watches its calls and the answers change
// with its credentials alone (the maps of other user namespaces may be written at any time).
void publish_identity(Task& t) {
  if (calls_are_watched(t) || t.creds->user_ns.get() != t.kernel.root_user_ns.get()) {
    return t.cpu->set_identity(std::nullopt);
  }
  const Creds& c = *t.creds;
  t.cpu->set_identity(platform::Identity{.pid = uint32_t(t.tgid()),
                                         .tid = uint32_t(t.tid()),
                                         .uid = c.uid,
                                         .euid = c.euid,
                                         .gid = c.gid,
                                         .egid = c.egid,
                                         .time_page = time_page_of(t)});
}

// What the platform may do without asking.
void publish(Task& t) {
  t.answered_creds = t.creds;
  publish_identity(t);
  publish_futexes(t);
}

// What the trap leads to.
RunState after_trap(Task& t, const Trap& trap) {
  switch (trap.kind) {
    case Trap::Kind::kSyscall:
      t.frame.begin(trap.nr, trap.args);
      t.frame.begun = trap.begun;
      if (trap.begun) t.frame.deadline = trap.deadline;
      return Syscall{};
    case Trap::Kind::kVsyscall: return Vsyscall{};
    case Trap::Kind::kSyscall32: {
      // As a kernel without IA32 emulation: the interrupt vector does not exist.
      Lock lock(task_mutex);
      t.cpu->regs().rip -= 2;
      t.cpu->regs().orig_rax = -1;
      force_signal(t, fault_siginfo(SIGSEGV, SI_KERNEL, 0));
      break;
    }
    case Trap::Kind::kFault: on_fault(t, trap); break;
    case Trap::Kind::kLost:
    case Trap::Kind::kWaited:
    case Trap::Kind::kInterrupted: break;
  }
  return App{};
}

bool is_stepped(Task& t) {
  if (t.stepped_over || (t.group->debugger && t.group->debugger->steps(t))) return true;
  if (!t.traced) return false;
  Lock lock(task_mutex);
  return t.tracing.step != Tracing::Step::kNone;
}

}  // namespace

Step App::run(Task& t) {
  if (t.trap) {
    const Trap trap = *std::exchange(t.trap, std::nullopt);
    if (t.stepped_over && has_stepped_over(t, trap)) return App{};
    return after_trap(t, trap);
  }
  if (t.interrupted.load(std::memory_order_relaxed)) return Interrupt{};
  if (t.answered_creds.get() != t.creds.get()) publish(t);
  if (t.group->debugger) t.group->debugger->enters_guest(t);
  if (!t.kernel.scheduler.enter_guest(t)) return App{};
  t.cpu->resume(is_stepped(t) ? platform::Thread::Mode::kStep : platform::Thread::Mode::kRun);
  return InGuest{};
}

}  // namespace usk
