// Filters between a system call's trap and its handler, in either order of Linux towards the
// syscall-enter-stop, and on calls into the legacy vsyscall page.
#include "kernel/run/seccomp_states.h"

#include <linux/audit.h>
#include <sys/syscall.h>

#include <algorithm>

#include "base/log.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/seccomp_event.h"
#include "kernel/run/syscall_states.h"
#include "kernel/seccomp/actions.h"
#include "kernel/seccomp/signals.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

using seccomp::Judgement;

bool has_old_order(Task& t) { return t.kernel.options().stop_order == StopOrder::k35; }

// The call is to be made.
RunState allowed(Task& t) {
  if (t.frame.vsyscall) return VsyscallInvoke{};
  if (has_old_order(t)) return SyscallEnter{};
  return SyscallInvoke{};
}

// A call into the vsyscall page that is not made returns to its caller all the same.
void return_from_vsyscall(Task& t) {
  Regs& regs = t.cpu->regs();
  uint64_t caller = 0;
  if (!t.mem().copy_in(std::as_writable_bytes(std::span(&caller, 1)), regs.rsp)) {
    Lock lock(task_mutex);
    force_signal(t, fault_siginfo(SIGSEGV, SEGV_MAPERR, regs.rip));
    return;
  }
  if (!t.frame.registers_set) regs.set_result(t.frame.result);
  regs.rip = caller;
  regs.rsp += 8;
  regs.orig_rax = -1;
}

// The call is not made; its result stands in the frame, or in the registers already.
RunState skipped(Task& t) {
  if (!t.frame.vsyscall) return SyscallExit{};
  return_from_vsyscall(t);
  return App{};
}

RunState skipped(Task& t, int64_t result) {
  t.frame.result = result;
  return skipped(t);
}

// What Linux writes to the audit log.
void log_verdict(Task& t, uint32_t verdict, bool asked) {
  const uint32_t action = verdict & SECCOMP_RET_ACTION_FULL;
  if (!log_enabled(LogLevel::kInfo) || !seccomp::is_logged(action, asked)) return;
  const std::string_view name = seccomp::action_name(action);
  LOG_INFO("seccomp: thread {}, call {} at {:#x}: {} ({:#x})", t.tid(), t.frame.nr,
           t.cpu->regs().ip(), name.empty() ? "kill_process" : name, verdict);
}

// By a signal that comes when the call is over, so that a tracer sees its exit.
RunState kill_process(Task& t, uint16_t data = 0) {
  seccomp::send_sigsys(t, seccomp::kSysSeccomp, data, seccomp::Sigsys::kFatal);
  return t.frame.vsyscall ? RunState(App{}) : SyscallExit{};
}

// The thread alone ends, as if by this signal.
RunState kill_thread(Task& t, int sig) {
  Lock lock(task_mutex);
  if (!t.group->exiting) t.exit_status = sig;
  return Exit{};
}

bool is_last_thread(Task& t) {
  Lock lock(task_mutex);
  return t.group->live == 1;
}

RunState run_strict(Task& t) {
  switch (t.frame.nr) {
    case SYS_read:
    case SYS_write:
    case SYS_exit:
    case SYS_rt_sigreturn: return allowed(t);
    default: break;
  }
  log_verdict(t, SECCOMP_RET_KILL_THREAD, /*asked=*/true);
  return kill_thread(t, SIGKILL);
}

seccomp_data data_of(Task& t, bool with_ip) {
  seccomp_data d;
  d.nr = int(t.frame.nr);
  d.arch = AUDIT_ARCH_X86_64;
  d.instruction_pointer = with_ip ? t.cpu->regs().ip() : 0;
  std::copy(t.frame.args.begin(), t.frame.args.end(), d.args);
  return d;
}

RunState ask_listener(Task& t, const Judgement& j) {
  seccomp::State& s = t.seccomp;
  s.listener = j.by->notify_queue();
  if (s.listener) s.notification = s.listener->post(t, data_of(t, /*with_ip=*/true));
  if (!s.notification) return skipped(t, -ENOSYS);
  return SyscallUserNotif{};
}

RunState ask_tracer(Task& t, uint16_t data) {
  if (!seccomp_event(t, data)) return skipped(t, -ENOSYS);
  if (t.frame.vsyscall) return VsyscallAfterPtraceEventSeccomp{};
  return SyscallAfterPtraceEventSeccomp{};
}

Judgement judge(Task& t) {
  Ref<seccomp::Filter> newest;
  {
    Lock lock(task_mutex);
    newest = t.seccomp.filter;
  }
  return newest->judge(data_of(t, newest->any_reads_ip()));
}

// A verdict that Linux does not know kills, too.
RunState obey(Task& t, const Judgement& j, FilterRun which) {
  constexpr uint16_t kMaxErrno = 4095;
  const bool allows = j.action() == SECCOMP_RET_ALLOW;
  const bool has_asked = j.action() == SECCOMP_RET_TRACE && which == FilterRun::kAgain;
  if (!allows && !has_asked) log_verdict(t, j.verdict, j.by && j.by->logs());
  switch (j.action()) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG: return allowed(t);
    case SECCOMP_RET_TRACE:
      return which == FilterRun::kAgain ? allowed(t) : ask_tracer(t, j.data());
    case SECCOMP_RET_USER_NOTIF: return ask_listener(t, j);
    case SECCOMP_RET_ERRNO: return skipped(t, -int64_t(std::min(j.data(), kMaxErrno)));
    case SECCOMP_RET_TRAP:
      seccomp::send_sigsys(t, seccomp::kSysSeccomp, j.data());
      return skipped(t);
    case SECCOMP_RET_KILL_THREAD:
      if (!is_last_thread(t)) return kill_thread(t, SIGSYS);
      return kill_process(t, j.data());
    default: return kill_process(t, j.data());
  }
}

}  // namespace

RunState run_filters(Task& t, FilterRun which) {
  const bool is_new = which == FilterRun::kFirst && !t.frame.vsyscall;
  if (is_new) {
    for (CallObserver* o : t.kernel.hooks.observers) o->entered(t, t.frame);
  }
  const seccomp::Mode mode = t.seccomp.mode.load(std::memory_order_relaxed);
  if (mode == seccomp::Mode::kNone || seccomp_is_suspended(t)) return allowed(t);
  if (mode == seccomp::Mode::kStrict) return run_strict(t);
  return obey(t, judge(t), which);
}

Step SyscallSeccomp::run(Task& t) {
  if (t.frame.begun) return SyscallInvoke{};  // Before there were filters.
  return run_filters(t, FilterRun::kFirst);
}

Step SyscallAfterPtraceEventSeccomp::run(Task& t) {
  if (is_dying(t)) return App{};
  if (!reread_call(t)) return skip_call(t);
  if (has_old_order(t)) return SyscallEnter{};
  return run_filters(t, FilterRun::kAgain);
}

// The answer goes before a signal that came with it.
Step SyscallUserNotif::run(Task& t) {
  seccomp::State& s = t.seccomp;
  const Ref<seccomp::Notification> n = s.notification;
  t.waits().clear();
  t.waits().add(n->answered, POLLIN, n);
  int64_t result = -kERESTARTSYS;
  bool goes_on = false;
  if (const auto reply = s.listener->take_reply(*n)) {
    goes_on = reply->flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    result = reply->error ? reply->error : reply->val;
  } else {
    const bool killable = s.listener->waits_killably(*n);
    Lock lock(task_mutex);
    if (!(killable ? t.fatal_signal_pending() : t.has_work())) return Park{SyscallUserNotif{}, {}};
    t.interrupted = true;
  }
  t.waits().clear();
  s.listener->withdraw(*n);
  s.notification.reset();
  s.listener.reset();
  t.cpu->forget_copies();
  return goes_on ? allowed(t) : skipped(t, result);
}

// The page holds gettimeofday, time and getcpu at 1024-byte steps; a call into it is made as the
// system call, then returns to its caller.
namespace {
constexpr uint64_t kVsyscallStep = 1024;
constexpr uint64_t kVsyscalls[] = {SYS_gettimeofday, SYS_time, SYS_getcpu};
}  // namespace

Step Vsyscall::run(Task& t) {
  Regs& regs = t.cpu->regs();
  const uint64_t entry = regs.rip - kVsyscallPage;
  uint64_t caller = 0;
  if (entry % kVsyscallStep || entry / kVsyscallStep >= std::size(kVsyscalls) ||
      !t.mem().copy_in(std::as_writable_bytes(std::span(&caller, 1)), regs.rsp)) {
    Lock lock(task_mutex);
    force_signal(t, fault_siginfo(SIGSEGV, SEGV_MAPERR, regs.rip));
    return App{};
  }
  t.frame.begin(kVsyscalls[entry / kVsyscallStep], regs.syscall_args());
  t.frame.vsyscall = true;
  if (!t.seccomp.is_on()) return VsyscallInvoke{};
  regs.orig_rax = t.frame.nr;
  regs.set_result(-ENOSYS);
  return run_filters(t, FilterRun::kFirst);
}

// Linux: the tracer may have it skipped, but not made into another call.
Step VsyscallAfterPtraceEventSeccomp::run(Task& t) {
  if (is_dying(t)) return App{};
  const uint64_t nr = t.frame.nr, entry = t.cpu->regs().rip - kVsyscallPage;
  const bool made = reread_call(t);
  t.frame.vsyscall = true;
  t.frame.registers_set = !made;
  const bool same_place = entry / kVsyscallStep < std::size(kVsyscalls) &&
                          entry % kVsyscallStep == 0 && kVsyscalls[entry / kVsyscallStep] == nr;
  if (!same_place || (made && t.frame.nr != nr)) return kill_process(t);
  if (!made) return skipped(t);
  if (has_old_order(t)) return VsyscallInvoke{};
  return run_filters(t, FilterRun::kAgain);
}

Step VsyscallInvoke::run(Task& t) {
  SyscallResult r = t.kernel.hooks.invoke(t, t.frame);
  t.frame.result = r ? 0 : -int64_t(r.error());
  if (r && std::holds_alternative<int64_t>(r->v_)) t.frame.result = std::get<int64_t>(r->v_);
  if (t.frame.result == -EFAULT) {
    Lock lock(task_mutex);
    t.cpu->regs().orig_rax = -1;
    force_signal(t, fault_siginfo(SIGSEGV, SEGV_MAPERR, t.cpu->regs().rip));
    return App{};
  }
  return_from_vsyscall(t);
  return App{};
}

}  // namespace usk
