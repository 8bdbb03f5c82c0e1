#include <linux/audit.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "host/process.h"
#include "platform/nowhere.h"
#include "platform/ptrace/ptrace_platform.h"
#include "platform/stub/layout.h"

namespace usk::platform {

using namespace host;

namespace {
constexpr int kSyscallStop = SIGTRAP | 0x80;
constexpr size_t kMaxXstate = 16384;
}  // namespace

PtraceThread::PtraceThread(PtracePlatform& platform, Ref<PtraceSpace> space, pid_t tid)
    : platform_(platform), space_(std::move(space)), tid_(tid) {
  platform_.add_thread(*this);
}

PtraceThread::~PtraceThread() {
  platform_.remove_thread(*this);
  if (lost_ || running_) return;  // A running thread ends with its space.
  // The last thread of a space needs no ending: the space kills its process.
  if (space_->ref_count() == 1) return;
  // The host finds the memory of a process by its first thread: that one stays, stopped.
  if (tid_ == space_->pid()) return;
  Regs regs;
  regs.cs = kUserCs, regs.ss = kUserSs, regs.eflags = kFlagsInitial;
  regs.rip = in_stub(USK_STUB_SYSCALL);
  regs.rax = SYS_exit;
  regs.orig_rax = -1;
  if (trace_set_regs(tid_, regs)) (void)trace_resume(PTRACE_CONT, tid_);
}

void PtraceThread::fetch_regs() {
  if (regs_valid_) return;
  (void)trace_get_regs(tid_, regs_);  // Of a dying thread it fails; the values do not matter.
  regs_valid_ = true;
  regs_dirty_ = false;
}

Regs& PtraceThread::regs() {
  fetch_regs();
  regs_dirty_ = true;
  return regs_;
}

Result<std::vector<std::byte>> PtraceThread::fpu_state() {
  std::vector<std::byte> area(kMaxXstate);
  area.resize(TRY(trace_get_xstate(tid_, area)));
  return area;
}

Result<void> PtraceThread::set_fpu_state(std::span<const std::byte> state) {
  return trace_set_xstate(tid_, state);
}

namespace {
int resume_request(CallStop call_stop, Thread::Mode mode) {
  const bool step = mode == Thread::Mode::kStep;
  if (call_stop == CallStop::kSysemu) return step ? PTRACE_SYSEMU_SINGLESTEP : PTRACE_SYSEMU;
  return step ? PTRACE_SINGLESTEP : PTRACE_CONT;
}
}  // namespace

void PtraceThread::resume(Mode mode) {
  mode_ = mode;
  // Its death was met while it ran stub code.
  if (lost_) return platform_.report(*this, {.kind = Trap::Kind::kLost});
  // Where the stub's own code is, nothing is mapped for the guest.
  if (regs_valid_ && is_beyond_guest(regs_.rip, platform_.vdso())) {
    return platform_.report(*this, {.kind = Trap::Kind::kFault,
                                    .signal = SIGSEGV,
                                    .code = SEGV_MAPERR,
                                    .address = regs_.rip,
                                    .error = kFetchFault,
                                    .number = kPageFault});
  }
  if (regs_valid_ && regs_dirty_) (void)trace_set_regs(tid_, regs_);
  regs_valid_ = regs_dirty_ = false;
  running_ = true;
  platform_.entered_guest(*this);
  // Of a dying thread it fails; poll() reports the end.
  (void)trace_resume(resume_request(platform_.call_stop(), mode), tid_);
}

void PtraceThread::interrupt() { (void)trace_interrupt(tid_); }

Result<void> PtraceThread::set_debug_registers(const std::array<uint64_t, 4>& addresses,
                                               uint64_t control) {
  return trace_set_debug_registers(tid_, addresses, control);
}

uint64_t PtraceThread::debug_status() { return trace_get_debug_status(tid_).value_or(0); }
// It fails for a dying thread alone.
void PtraceThread::set_debug_status(uint64_t v) { (void)trace_set_debug_status(tid_, v); }

Result<void> PtraceThread::allow_tsc(bool allowed) {
  TRY(call(SYS_prctl, {PR_SET_TSC, uint64_t(allowed ? PR_TSC_ENABLE : PR_TSC_SIGSEGV)}));
  return {};
}

uint64_t PtraceThread::cpu_time_ns() { return thread_cpu_time(tid_).value_or(0); }

Result<void> PtraceThread::set_affinity(const cpu_set_t& cpus) {
  return host::set_affinity(tid_, cpus);
}

std::optional<Trap> PtraceThread::classify(int status) {
  running_ = false;
  if (!WIFSTOPPED(status)) {
    lost_ = true;
    platform_.count.stop_end++;
    return Trap{.kind = Trap::Kind::kLost};
  }
  const int event = status >> 16;
  const int signal = WSTOPSIG(status);
  if (event) return classify_event(event, signal);
  if (signal == kSyscallStop) {
    platform_.count.stop_syscall++;
    fetch_regs();
    // The syscall instruction leaves the return address in rcx; int 0x80 does not.
    const bool native = regs_.rcx == regs_.rip;
    Trap t{.kind = native ? Trap::Kind::kSyscall : Trap::Kind::kSyscall32};
    t.nr = regs_.orig_rax;
    t.args = regs_.syscall_args();
    return t;
  }
  return classify_signal(signal);
}

std::optional<Trap> PtraceThread::classify_event(int event, int signal) {
  const bool group_stop = event == PTRACE_EVENT_STOP && (signal == SIGSTOP || signal == SIGTSTP ||
                                                         signal == SIGTTIN || signal == SIGTTOU);
  group_stop ? platform_.count.stop_group++ : platform_.count.stop_event++;
  if (!group_stop) {
    // Its registers are those of an exception or a call that comes next: an interruption of their
    // own they would not survive.
    if (!trace_has_exception(tid_)) return Trap{.kind = Trap::Kind::kInterrupted};
    resume(mode_);
    return std::nullopt;
  }
  // Somebody on the host stopped the stub: it stays so until SIGCONT, which is another event.
  running_ = true;
  if (trace_resume(PTRACE_LISTEN, tid_)) return std::nullopt;
  running_ = false;
  return Trap{.kind = Trap::Kind::kInterrupted};
}

// The stub's own filter met the call: in the vsyscall page, which no tracer's stop precedes, or on
// a host that asks filters first.
std::optional<Trap> PtraceThread::classify_filtered_call(const siginfo_t& info) {
  platform_.count.stop_filtered++;
  const uint64_t at = reinterpret_cast<uint64_t>(info.si_call_addr);
  Regs& r = regs();
  r.orig_rax = uint64_t(info.si_syscall);
  if ((at & ~0xfffull) == kVsyscallPage) {
    // The host has emulated the return from the page; go back to its entry.
    r.rsp -= 8;
    r.rip = at;
    return Trap{.kind = Trap::Kind::kVsyscall, .address = at};
  }
  if (platform_.call_stop() != CallStop::kSignal) return Trap{.kind = Trap::Kind::kLost};
  if (info.si_arch != AUDIT_ARCH_X86_64) return Trap{.kind = Trap::Kind::kSyscall32};
  step_trap_due_ = mode_ == Mode::kStep;
  Trap t{.kind = Trap::Kind::kSyscall};
  t.nr = r.orig_rax;
  t.args = r.syscall_args();
  r.rax = uint64_t(-ENOSYS);
  return t;
}

std::optional<Trap> PtraceThread::classify_signal(int signal) {
  auto info = trace_siginfo(tid_);
  if (!info) return Trap{.kind = Trap::Kind::kInterrupted};
  if (info->si_code <= 0) {  // Sent by somebody on the host: not the guest's business.
    platform_.count.stop_foreign_signal++;
    if (signal != SIGSTOP) {
      resume(mode_);
      return std::nullopt;
    }
    // He may stop what runs on his machine: the group-stop comes next.
    running_ = true;
    platform_.entered_guest(*this);
    (void)trace_resume(resume_request(platform_.call_stop(), mode_), tid_, SIGSTOP);
    return std::nullopt;
  }
  if (signal == SIGSYS) return classify_filtered_call(*info);
  if (is_late_step_trap(*info)) {
    resume(mode_);
    return std::nullopt;
  }
  platform_.count.stop_fault++;
  count_fault(platform_.count, signal);
  return Trap{.kind = Trap::Kind::kFault,
              .signal = signal,
              .code = info->si_code,
              .address = reinterpret_cast<uint64_t>(info->si_addr)};
}

// Of a filtered call that was stepped over: it follows the filter's signal, when the thread runs
// next, whatever that is for.
bool PtraceThread::is_late_step_trap(const siginfo_t& info) {
  if (info.si_signo != SIGTRAP || info.si_code != TRAP_BRKPT) return false;
  return std::exchange(step_trap_due_, false);
}

Result<int> PtraceThread::continue_until_stop() {
  for (;;) {
    TRY(trace_resume(PTRACE_CONT, tid_));
    auto event = wait_traced(tid_, WaitMode::kBlock);
    if (!event || !WIFSTOPPED(event->status)) {
      lost_ = true;
      return Err(ESRCH);
    }
    // A stop that an earlier interrupt() asked for, or a signal from outside, changes nothing.
    if (event->status >> 16 == PTRACE_EVENT_STOP) continue;
    if (event->status >> 16 == 0) {
      auto info = trace_siginfo(tid_);
      if (info && (info->si_code <= 0 || is_late_step_trap(*info))) continue;
    }
    return event->status;
  }
}

Result<PtraceThread::StubStop> PtraceThread::run_stub(const Regs& regs) {
  if (lost_) return Err(ESRCH);
  fetch_regs();
  regs_dirty_ = true;  // The host thread is about to lose the guest's registers.
  platform_.count.stub_runs++;
  TRY(trace_set_regs(tid_, regs));
  const int status = TRY(continue_until_stop());
  StubStop stop;
  stop.signal = WSTOPSIG(status);
  TRY(trace_get_regs(tid_, stop.regs));
  return stop;
}

namespace {
Regs stub_regs(uint64_t ip, const Regs& guest) {
  Regs r;
  r.cs = kUserCs, r.ss = kUserSs, r.eflags = kFlagsInitial;
  r.fs_base = guest.fs_base, r.gs_base = guest.gs_base;  // Inherited by a clone.
  r.rip = ip;
  r.orig_rax = -1;
  return r;
}

void set_call(Regs& r, uint64_t nr, const std::array<uint64_t, 6>& a) {
  r.rax = nr;
  r.rdi = a[0], r.rsi = a[1], r.rdx = a[2], r.r10 = a[3], r.r8 = a[4], r.r9 = a[5];
}

Result<int64_t> as_result(uint64_t rax) {
  if (rax >= uint64_t(-4095)) return Err(int(-int64_t(rax)));
  return int64_t(rax);
}
}  // namespace

Result<int64_t> PtraceThread::call(uint64_t nr, std::array<uint64_t, 6> args) {
  fetch_regs();
  Regs r = stub_regs(in_stub(USK_STUB_SYSCALL), regs_);
  set_call(r, nr, args);
  const StubStop stop = TRY(run_stub(r));
  if (stop.signal != SIGTRAP) return Err(ESRCH);
  return as_result(stop.regs.rax);
}

Result<void> PtraceThread::batch(std::span<const Command> commands) {
  if (commands.size() > USK_STUB_MAX_COMMANDS) return Err(E2BIG);
  TRY(space_->write_stub(in_stub(USK_STUB_COMMANDS), std::as_bytes(commands)));
  fetch_regs();
  Regs r = stub_regs(in_stub(USK_STUB_BATCH), regs_);
  r.r12 = in_stub(USK_STUB_COMMANDS);
  r.r13 = in_stub(USK_STUB_COMMANDS) + commands.size_bytes();
  const StubStop stop = TRY(run_stub(r));
  if (stop.signal != SIGTRAP) return Err(ESRCH);
  if (stop.regs.r12 != r.r13) TRY(as_result(stop.regs.rax));
  return {};
}

Result<pid_t> PtraceThread::clone(uint64_t flags) {
  fetch_regs();
  Regs r = stub_regs(in_stub(USK_STUB_SYSCALL), regs_);
  set_call(r, SYS_clone, {flags, 0, 0, 0, 0, 0});
  const StubStop stop = TRY(run_stub(r));
  if (stop.regs.rip != in_stub(USK_STUB_SYSCALL) + 2) {  // Its int3: the clone failed.
    TRY(as_result(stop.regs.rax));
    return Err(EAGAIN);
  }
  const pid_t child = pid_t(TRY(trace_event_message(tid_)));
  auto event = wait_traced(child, WaitMode::kBlock);
  TRY(continue_until_stop());  // On to the parent's int3.
  if (!event || !WIFSTOPPED(event->status)) return Err(EAGAIN);
  return child;
}

Result<uint32_t> PtraceThread::compare_exchange(uint64_t addr, uint32_t expected,
                                                uint32_t desired) {
  fetch_regs();
  Regs r = stub_regs(in_stub(USK_STUB_CMPXCHG), regs_);
  r.rdi = addr;
  r.rax = expected;
  r.rsi = desired;
  const StubStop stop = TRY(run_stub(r));
  if (stop.signal != SIGTRAP) return Err(EFAULT);
  return uint32_t(stop.regs.rax);
}

}  // namespace usk::platform
