#include "platform/trap/thread.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "arch/x86_64/xstate.h"
#include "host/cpu.h"
#include "host/poll.h"
#include "host/process.h"
#include "host/shared_memory.h"
#include "platform/nowhere.h"
#include "platform/trap/counting.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

using trap::Area;
using trap::Command;
using trap::Order;
using trap::Post;

namespace {

// A thread waits so often before it spins: many wait for long and seldom.
constexpr uint32_t kFirstSpin = 8;
constexpr const char* kHasNot = "it says that it has made a call, and has not";
constexpr uint64_t kMaxSyscalls = 1024;  // Above every number of a system call.

// Calls with which the blob posts the floating point state.
bool makes_thread(uint32_t nr) { return nr == SYS_clone || nr == SYS_clone3 || nr == SYS_vfork; }

// The host call of a command that the filter asks about.
std::optional<StubCall> asked_call(const StubCall& c) {
  switch (c.nr) {
    case trap::kCmdClone: return StubCall{SYS_clone, {c.args[0], 0, 0, c.args[2]}};
    case trap::kCmdFork: return StubCall{SYS_clone, {c.args[0]}};
    case SYS_mmap:
      if (c.args[3] & MAP_ANONYMOUS && c.args[3] & MAP_PRIVATE) return std::nullopt;
      if (c.args[3] & MAP_PRIVATE && c.args[4] >= USK_STUB_FILES) return std::nullopt;
      return c;
    case SYS_madvise:
      if (c.args[3] != USK_ASKS) return std::nullopt;
      return c;
    case SYS_mremap:
    case SYS_msync:
    case SYS_membarrier:
    case SYS_prctl:
    case SYS_close: return c;
    default: return std::nullopt;
  }
}

}  // namespace

TrapThread::TrapThread(TrapPlatform& platform, Ref<TrapSpace> space, uint32_t slot, uint32_t index)
    : platform_(platform), space_(std::move(space)), slot_(slot), index_(index) {
  Area& a = area();
  memset(static_cast<void*>(&a), 0, sizeof a);
  a.index = index;
  a.alive = 1;
  a.self = area_address();
  a.minus_self = -area_address();
  a.stack_top = area_address() + USK_AREA_STACK_TOP;
  a.spin_skips = kFirstSpin;
  affinity_ = platform_.processors();
  space_->add_thread(*this);
  platform_.add_thread(*this);
}

TrapThread::TrapThread(TrapPlatform& platform, Ref<TrapSpace> space, const IdleThread& idle)
    : platform_(platform),
      space_(std::move(space)),
      slot_(idle.slot),
      index_(space_->index_of(idle.slot)),
      state_(State::kStopped),
      post_(Post::kReady),
      notice_(idle.notice),
      affinity_(idle.affinity),
      cpu_time_before_(idle.cpu_time),
      sequence_(idle.sequence) {
  set_identity(std::nullopt);
  end_own_futexes();
  Area& a = area();
  a.answered = a.futex_calls = a.futex_waits = 0;
  a.spin_failures = 0, a.spin_skips = kFirstSpin, a.sleeps = 0;
  set_rseq({});
  space_->add_thread(*this);
  platform_.add_thread(*this);
  platform_.name_thread(*this, idle.tid);
}

TrapThread::~TrapThread() {
  space_->remove_thread(*this);
  // A running thread ends with its space; so do the last one, and the one whose number names the
  // process: the host finds the memory of a process by a thread that lives.
  const bool leads = tid_ == space_->pid();
  if (state_ == State::kStopped) platform_.let_go(*this, leads);
  if (state_ == State::kStopped && !space_->threads().empty() && !leads && !become_idle()) {
    order(Order::kExit);
    space_->release_slot(slot_);
    space_->doubt_thread();
  }
  platform_.keep_counts(*this);
  platform_.remove_thread(*this);
}

// Another guest thread may have the host thread.
bool TrapThread::become_idle() {
  if (!queued_.empty() || rseq_.addr || !tid_ || watches_ || !has_tsc_) return false;
  park();
  return space_->keep_idle({.slot = slot_,
                            .tid = tid_,
                            .notice = std::exchange(notice_, 0),
                            .sequence = sequence_,
                            .cpu_time = last_cpu_time_,
                            .affinity = affinity_});
}

void TrapThread::park() {
  if (!notice_) platform_.parks(*this);
  std::atomic_ref(area().parked).store(1);
}

void TrapThread::set_rseq(const trap::Rseq& r) { rseq_ = area().rseq = r; }

void TrapThread::retire() {
  if (!rseq_.addr || state_ != State::kStopped) return;
  constexpr uint64_t kUnregister = 1;
  if (!rseq_forgotten_) {
    (void)call_later(
        {trap::kCmdForgetRseq, {rseq_.addr, rseq_.length, kUnregister, rseq_.signature}});
  }
  set_rseq({});
}

Space& TrapThread::space() { return *space_; }
Area& TrapThread::area() { return platform_.areas().area(index_); }

bool TrapThread::take_post() {
  if (state_ != State::kRunning && state_ != State::kStarting) return false;
  std::atomic_ref word(area().post);
  if (word.load(std::memory_order_relaxed) == 0) return false;
  const auto kind = Post(word.exchange(0));
  fresh_ = state_ == State::kStarting;
  state_ = State::kStopped;
  post_ = kind;
  if (fresh_ && asks()) space_->kill("it does not arrange to die with the kernel process");
  left_unasked_ = asks();
  expected_.clear();
  result_.reset();
  if (!copied_out_.empty()) forget_copied_out();
  const bool call = kind == Post::kSyscall || kind == Post::kPatched;
  in_call_ = call || kind == Post::kWaited;
  copied_length_ = buffer_used_ = 0;
  if (call) nr_ = area().nr;
  was_waiting_ = kind == Post::kWaited || (call && nr_ == SYS_futex && area().begun);
  fpu_posted_ = call && makes_thread(uint32_t(nr_));
  rseq_forgotten_ = call && rseq_.addr && nr_ == SYS_exit;
  if (fpu_posted_) {
    buffer_used_ = (xstate_size() + 63) & ~uint64_t(63);
  } else if (call) {
    copied_ = area().copied;
    copied_length_ = std::min<uint64_t>(area().copied_length, USK_AREA_BUFFER_SIZE);
    buffer_used_ = (copied_length_ + 63) & ~uint64_t(63);
  }
  if (std::exchange(stepped_, false)) regs().eflags &= ~kFlagTrap;
  platform_.left_guest(*this);
  notice_ ? platform_.count.posts_notified++ : platform_.count.posts_polled++;
  const uint64_t sleeps = own_sleeps();
  const bool slept = std::exchange(sleeps_, sleeps) != sleeps;
  const int64_t think_ns = host::ticks_to_ns(host::ticks() - ordered_at_);
  const bool says_nothing = slept || awaited_ || fresh_;
  cpu_ = area().cpu;
  platform_.took_post(*this, says_nothing ? std::nullopt : std::optional(think_ns), cpu_,
                      notice_ != 0);
  return true;
}

std::optional<Trap> TrapThread::trap() {
  const Area& a = area();
  switch (post_) {
    case Post::kSyscall: space_->consider_patch(*this, a.regs.rip, uint32_t(nr_)); [[fallthrough]];
    case Post::kPatched: {
      count_call();
      Trap t{.kind = Trap::Kind::kSyscall};
      t.nr = nr_;
      memcpy(t.args.data(), a.args, sizeof a.args);
      t.begun = was_waiting_;
      if (t.begun && a.begun == trap::kUntil) t.deadline.ns = std::max<int64_t>(a.deadline, 0);
      return t;
    }
    case Post::kWaited: {
      Trap t{.kind = Trap::Kind::kWaited};
      t.result = a.result;
      return t;
    }
    case Post::kHint:
      space_->consider_patch(*this, a.regs.rip, SYS_futex);
      platform_.count.calls_trapped++;
      return make_again();
    case Post::kSyscall32:
      platform_.count.calls_32bit++;
      return Trap{.kind = Trap::Kind::kSyscall32};
    case Post::kVsyscall:
      platform_.count.calls_vsyscall++;
      return Trap{.kind = Trap::Kind::kVsyscall, .address = a.fault.address};
    case Post::kFault: {
      Trap t{.kind = Trap::Kind::kFault,
             .signal = int(a.fault.signal),
             .code = a.fault.code,
             .address = a.fault.address};
      t.error = a.fault.error, t.number = a.fault.trap;
      const int s = t.signal;
      count_fault(platform_.count, s);
      if (s == SIGILL || (s == SIGSEGV && t.code == SI_KERNEL)) {
        if (auto call = into_patched_site(s)) return call;
      }
      const bool known = s == SIGSEGV || s == SIGBUS || s == SIGILL || s == SIGFPE || s == SIGTRAP;
      return known && t.code > 0 ? t : Trap{.kind = Trap::Kind::kLost};
    }
    case Post::kFailed:
      space_->kill("a mapping that was promised could not be made");
      return Trap{.kind = Trap::Kind::kLost};
    default: return Trap{.kind = Trap::Kind::kInterrupted};
  }
}

// A jump into the middle of a patched site (patches.h).
std::optional<Trap> TrapThread::into_patched_site(int signal) {
  constexpr uint64_t kCall = kPatchSize - Regs::kSyscallLength;
  const uint64_t ip = area().regs.rip;
  if (signal == SIGILL && space_->is_patched(ip - kCall)) {
    platform_.count.calls_mid_site++;
    return into_call(ip - kCall);
  }
  const auto* s = space_->patches()->find(ip - Regs::kSyscallLength);
  if (signal == SIGSEGV && s && s->shape.kind == SiteShape::kCompare &&
      space_->is_patched(ip - Regs::kSyscallLength)) {
    regs();  // They go back by way of the tail.
    return Trap{.kind = Trap::Kind::kInterrupted};
  }
  return std::nullopt;
}

// To what was the system call instruction of a site that ends with it.
std::optional<Trap> TrapThread::into_call(uint64_t site) {
  Regs& r = regs();
  if (r.rax >= kMaxSyscalls) {  // It met a patch half made: what it loaded was no number.
    r.rip = site;
    return Trap{.kind = Trap::Kind::kInterrupted};
  }
  r.rip = r.rcx = site + kPatchSize;
  r.r11 = r.eflags;
  r.orig_rax = nr_ = r.rax;
  in_call_ = true;
  Trap t{.kind = Trap::Kind::kSyscall};
  t.nr = nr_;
  t.args = r.syscall_args();
  return t;
}

// The call that the stub would have made.
std::optional<Trap> TrapThread::make_again() {
  Regs& r = regs();
  r.rip -= Regs::kSyscallLength;
  return Trap{.kind = Trap::Kind::kInterrupted};
}

void TrapThread::leave_tail(uint64_t tail, uint64_t ret) {
  if (!tail || state_ != State::kStopped) return;
  if (area().regs.rip == tail) area().regs.rip = ret;
}

void TrapThread::fetch_regs() {
  const trap::StubRegs s = area().regs;
  Regs& r = regs_;
  r.r15 = s.r15, r.r14 = s.r14, r.r13 = s.r13, r.r12 = s.r12, r.rbp = s.rbp, r.rbx = s.rbx;
  r.r11 = s.r11, r.r10 = s.r10, r.r9 = s.r9, r.r8 = s.r8, r.rax = s.rax, r.rcx = s.rcx;
  r.rdx = s.rdx, r.rsi = s.rsi, r.rdi = s.rdi, r.rsp = s.rsp;
  r.rip = space_->patches()->tail_stands_for(s.rip).value_or(s.rip);
  if (r.rip != s.rip && r.rcx == s.rip) r.rcx = r.rip;
  r.eflags = (s.eflags & kUserFlags) | kFlagsInitial;
  r.fs_base = s.fs_base, r.gs_base = s.gs_base;
  r.cs = kUserCs, r.ss = kUserSs;
  r.ds = r.es = r.fs = r.gs = 0;
  r.orig_rax = in_call_ ? nr_ : uint64_t(-1);
}

void TrapThread::store_regs() {
  trap::StubRegs s;
  const Regs& r = regs_;
  s.r15 = r.r15, s.r14 = r.r14, s.r13 = r.r13, s.r12 = r.r12, s.rbp = r.rbp, s.rbx = r.rbx;
  s.r11 = r.r11, s.r10 = r.r10, s.r9 = r.r9, s.r8 = r.r8, s.rax = r.rax, s.rcx = r.rcx;
  s.rdx = r.rdx, s.rsi = r.rsi, s.rdi = r.rdi, s.rip = r.rip, s.rsp = r.rsp;
  s.eflags = (r.eflags & kUserFlags) | kFlagsInitial;
  s.fs_base = r.fs_base, s.gs_base = r.gs_base;
  area().regs = s;
}

Regs& TrapThread::regs() {
  if (!regs_valid_) {
    fetch_regs();
    if (result_) regs_.set_result(*result_);
    regs_valid_ = true;
  }
  return regs_;
}

void TrapThread::set_result(int64_t value) {
  if (regs_valid_) regs_.set_result(value);
  result_ = value;
}

void TrapThread::write_commands() {
  Area& a = area();
  for (size_t i = 0; i < queued_.size(); i++) {
    const StubCall& q = queued_[i];
    Command c{.nr = q.nr, .args = {}, .result = 0};
    memcpy(c.args, q.args.data(), sizeof c.args);
    a.commands[i] = c;
    count_command(platform_.count, q.nr);
    if (auto asked = asked_call(q)) expected_.push_back(*asked);
  }
  a.command_count = uint32_t(queued_.size());
  if (!queued_.empty()) a.sequence = ++sequence_, platform_.count.batches++;
  queued_.clear();
}

void TrapThread::order(Order o) {
  // Its process may have ended while others of it were settled. Who waits for commands sees that.
  if (state_ == State::kLost) {
    if (o != Order::kCommands && o != Order::kExit) platform_.report(*this);
    return;
  }
  write_commands();
  state_ = State::kRunning;
  runs_++;
  platform_.entered_guest(*this);
  ordered_at_ = host::ticks();
  Area& a = area();
  a.unwatched = unwatched_ = false;
  std::atomic_ref(a.order).store(uint32_t(o));
  if (notice_) {
    platform_.count.orders_notified++;
    platform_.answer(*this);
  } else if (std::atomic_ref(a.waiting).load()) {
    platform_.wake(*this, /*at_once=*/o == Order::kCommands);
  } else {
    platform_.count.orders_spun++;
  }
}

void TrapThread::answer_notice() { platform_.listener().answer(std::exchange(notice_, 0)); }

// What a thread would meet at once is told without it, where a tracer or a handler's address leads
// nowhere: the blob's own jump would fault. Nor is the blob itself mapped for the guest, but a
// thread may have been interrupted in a thunk, and come back there from a signal's handler.
bool TrapThread::cannot_run() {
  auto& fault = area().fault;
  if (std::exchange(frame_faulted_, false) || (regs_valid_ && !is_canonical(regs_.rip))) {
    fault = {.signal = SIGSEGV, .code = SI_KERNEL, .address = 0, .error = 0, .trap = 13};
    return true;
  }
  const uint64_t ip = regs_.rip;
  const bool in_thunk = ip >= USK_THUNKS && ip < USK_THUNKS_END;
  if (!regs_valid_ || !is_beyond_guest(ip, platform_.vdso()) || in_thunk) return false;
  fault = {SIGSEGV, SEGV_MAPERR, ip, kFetchFault, kPageFault};
  return true;
}

void TrapThread::resume(Mode mode) {
  if (state_ == State::kLost) return platform_.report(*this);
  (void)space_->settle(this);  // It is to see what others of the space were given.
  if (cannot_run()) {
    post_ = Post::kFault;
    return platform_.report(*this);
  }
  if (std::exchange(rseq_forgotten_, false)) {  // It does not end after all.
    (void)call_later({SYS_rseq, {rseq_.addr, rseq_.length, 0, rseq_.signature}});
    set_rseq(rseq_);
  }
  Order o = Order::kReturn;
  if (mode == Mode::kStep) stepped_ = !(regs().eflags & kFlagTrap);
  if (regs_valid_) {
    regs_.rip = space_->entry_address(regs_);
    store_regs();
    o = mode == Mode::kStep ? Order::kStep : Order::kRegs;
  } else if (result_) {
    area().result = *result_;
  } else {
    o = Order::kRegs;  // As they are.
  }
  regs_valid_ = false;
  order(o);
}

void TrapThread::interrupt() {
  if (state_ == State::kRunning) {
    (void)host::send_thread_signal(space_->pid(), tid_, SIGUSR1);
    platform_.count.interrupts++;
    platform_.kicked(*this);
  }
}

void TrapThread::set_identity(const std::optional<Identity>& identity) {
  uint32_t* const to = area().identity;
  if (!identity) {
    for (int i = 0; i < trap::kIdentities; i++) {
      std::atomic_ref(to[i]).store(0, std::memory_order_relaxed);
    }
    std::atomic_ref(area().time_page).store(0, std::memory_order_relaxed);
    return;
  }
  const Identity& i = *identity;
  area().time_page = i.time_page;
  to[trap::kPid] = i.pid + 1, to[trap::kTid] = i.tid + 1;
  to[trap::kUid] = i.uid + 1, to[trap::kEuid] = i.euid + 1;
  to[trap::kGid] = i.gid + 1, to[trap::kEgid] = i.egid + 1;
}

// A thread that waits for the answer to a notification cannot be stopped: it is given something
// else to wait for.
Result<void> TrapThread::while_traced(const std::function<Result<void>()>& f) {
  TRY(settle());
  Result<void> r;
  std::atomic_ref held(area().held);
  held.store(1);
  queued_.push_back({.nr = trap::kCmdHold});
  const auto done = run_commands(/*unpromised=*/0, [&] {
    r = host::while_traced(tid_, f);
    if (failed_with(r, ETIMEDOUT)) space_->kill("a thread of its stub does not stop");
    held.store(0);
    host::wake_word(area().held);
  });
  if (!done) return std::unexpected(done.error());
  return r;
}

Result<void> TrapThread::set_debug_registers(const std::array<uint64_t, 4>& addresses,
                                             uint64_t control) {
  const bool some = control || std::ranges::any_of(addresses, [](uint64_t a) { return a != 0; });
  if (!some && !watches_) return {};
  TRY(while_traced([&] { return host::trace_set_debug_registers(tid_, addresses, control); }));
  watches_ = some;
  return {};
}

uint64_t TrapThread::debug_status() {
  uint64_t status = 0;
  if (!watches_) return 0;
  (void)while_traced([&]() -> Result<void> {
    status = TRY(host::trace_get_debug_status(tid_));
    return {};
  });
  return status;
}

void TrapThread::set_debug_status(uint64_t value) {
  if (watches_) (void)while_traced([&] { return host::trace_set_debug_status(tid_, value); });
}

uint64_t TrapThread::cpu_time_ns() {
  if (state_ != State::kLost) {
    const bool alone = !space_->has_had_more_threads();
    const auto ns = alone ? host::process_cpu_time(space_->pid()) : host::thread_cpu_time(tid_);
    // The two are not read at the same moment of a time slice: it never goes back.
    last_cpu_time_ = std::max(last_cpu_time_, ns.value_or(0));
  }
  return last_cpu_time_ - std::min(last_cpu_time_, cpu_time_before_);
}

Result<void> TrapThread::set_affinity(const cpu_set_t& cpus) {
  affinity_ = cpus;
  kept_off_ = false;
  return confine(cpus);
}

void TrapThread::inherit_tsc(const TrapThread& by) {
  has_tsc_ = by.has_tsc_;
  area().no_tsc = !has_tsc_;
}

Result<void> TrapThread::allow_tsc(bool allowed) {
  if (allowed == has_tsc_) return {};
  // The stub is not to read it while it may not.
  std::atomic_ref no_tsc(area().no_tsc);
  no_tsc.store(1);
  auto set = call({SYS_prctl, {PR_SET_TSC, uint64_t(allowed ? PR_TSC_ENABLE : PR_TSC_SIGSEGV)}});
  if (set) has_tsc_ = allowed;
  no_tsc.store(!has_tsc_);
  TRY(set);
  return {};
}

Result<void> TrapThread::confine(const cpu_set_t& cpus) {
  // The guest may have ended the host thread, whose number would be another's then.
  if (!host::send_thread_signal(space_->pid(), tid_, 0)) return Err(ESRCH);
  return host::set_affinity(tid_, cpus);
}

const StubCall* TrapThread::expected(const host::Listener::Notice& n) const {
  if (expected_.empty()) return nullptr;
  const StubCall& e = expected_.front();
  const size_t compared = e.nr == SYS_clone ? 5 : 6;  // The sixth register is nobody's.
  const bool same =
      e.nr == n.nr && std::equal(e.args.begin(), e.args.begin() + compared, n.args.begin());
  return same ? &e : nullptr;
}

Result<int64_t> TrapThread::run_commands(size_t unpromised,
                                         const std::function<void()>& meanwhile) {
  if (state_ == State::kLost) return Err(ESRCH);
  forget_copies();  // Commands may use the buffer.
  const auto shown = std::make_tuple(post_, result_, in_call_);
  fpu_posted_ = false;
  const size_t count = queued_.size();
  std::array<uint64_t, trap::kMaxCommands> nrs{};
  for (size_t i = 0; i < count; i++) nrs[i] = queued_[i].nr;
  // Registers that were fetched stay here: the stub's own are not touched meanwhile.
  order(Order::kCommands);
  if (meanwhile) meanwhile();
  platform_.count.batches_awaited++;
  const bool ok = platform_.await(*this);
  const Post end = post_;
  buffer_used_ = 0;
  std::tie(post_, result_, in_call_) = shown;
  if (!ok) return Err(ESRCH);
  if (end != Post::kDone) {
    space_->kill("its stub does not obey");
    return Err(ESRCH);
  }
  const Area& a = area();
  int64_t r = 0;
  for (size_t i = 0; i < count; i++) {
    r = a.commands[i].result;
    if (r >= 0 || r < -4095 || nrs[i] == trap::kCmdCopyOut) continue;
    if (nrs[i] == trap::kCmdSaveFrameFpu || nrs[i] == trap::kCmdLoadFrameFpu) {
      frame_faulted_ = true;
      continue;
    }
    if (i + unpromised < count) space_->kill("a mapping that was promised could not be made");
    return Err(int(-r));
  }
  if (left_unasked_) {
    space_->kill(kHasNot);
    return Err(ESRCH);
  }
  return r;
}

Result<int64_t> TrapThread::call(const StubCall& c) {
  if (queued_.size() == trap::kMaxCommands) TRY(run_commands(/*unpromised=*/0));
  queued_.push_back(c);
  return run_commands(/*unpromised=*/1);
}

// All stubs have one table of descriptors: the number is the next mapping's only once this one is
// made, which no post proves, but the thread's next notice does.
Result<void> TrapThread::call_with_file(const StubCall& c) {
  const StubCall close{SYS_close, {c.args[4]}};
  if (queued_.size() + 2 > trap::kMaxCommands) TRY(run_commands(/*unpromised=*/0));
  queued_.push_back(c);
  queued_.push_back(close);
  const auto mapped = run_commands(/*unpromised=*/2);
  if (mapped) return {};
  if (state_ != State::kLost) {  // It has not come to the second, or says so.
    queued_.push_back(close);
    if (!run_commands(/*unpromised=*/1) && left_unasked_) space_->kill(kHasNot);
  }
  return std::unexpected(mapped.error());
}

int64_t TrapThread::start_calls(std::span<const StubCall> calls, int64_t deadline_ns) {
  queued_.assign(calls.begin(), calls.end());
  order(Order::kCommands);
  expected_.clear();
  Area& a = area();
  while (std::atomic_ref(a.done).load() != sequence_) {
    if (host::monotonic_now() >= deadline_ns) return -ETIMEDOUT;
    const int64_t result = a.commands[calls.size() - 1].result;
    if (result < 0) return result;
    host::wait_word(a.done, sequence_ - 1, 100'000);
    platform_.reap();
    if (space_->lost()) return -ESRCH;
  }
  return a.commands[calls.size() - 1].result;
}

void TrapThread::begin(const StubCall& c) {
  queued_.push_back(c);
  order(Order::kCommands);
}

int64_t TrapThread::first_result() { return area().commands[0].result; }

Result<void> TrapThread::copy_fpu(TrapThread& by) {
  const size_t size = xstate_size();
  if (!by.fpu_posted_) TRY(by.fpu_state());
  const auto from = platform_.areas().buffer(by.index_).first(size);
  memcpy(platform_.areas().buffer(index_).data(), from.data(), size);
  buffer_used_ = (size + 63) & ~uint64_t(63);
  return call_later({trap::kCmdRestoreFpu, {}});
}

Result<void> TrapThread::call_later(const StubCall& c) {
  if (state_ == State::kLost) return Err(ESRCH);
  if (queued_.size() == trap::kMaxCommands) TRY(run_commands(/*unpromised=*/0));
  queued_.push_back(c);
  space_->set_unsettled(this);
  return {};
}

bool TrapThread::brings(HostFd& file, int fd) {
  if (std::ranges::none_of(queued_, [](const StubCall& c) { return asked_call(c).has_value(); })) {
    return false;
  }
  brought_.push_back({&file, fd});
  return true;
}

Result<void> TrapThread::call_before_it_runs(const StubCall& c) {
  if (state_ == State::kLost) return Err(ESRCH);
  if (queued_.size() == trap::kMaxCommands) TRY(run_commands(/*unpromised=*/0));
  queued_.push_back(c);
  return {};
}

Result<void> TrapThread::copy_later(const StubCall& c, uint64_t length) {
  if (state_ == State::kLost) return Err(ESRCH);
  if (queued_.size() == trap::kMaxCommands) TRY(run_commands(/*unpromised=*/0));
  queued_.push_back(c);
  copied_out_.push_back({c.args[0], length});
  space_->add_copying(*this);
  return {};
}

bool TrapThread::copies_to(uint64_t addr, uint64_t length) const {
  return std::ranges::any_of(copied_out_, [&](const Range& r) {
    return r.addr - addr < length || addr - r.addr < r.length;
  });
}

void TrapThread::forget_copied_out() {
  copied_out_.clear();
  space_->remove_copying(*this);
}

Result<void> TrapThread::settle() {
  if (state_ == State::kLost) return {};
  if (!queued_.empty()) {
    TRY(run_commands(/*unpromised=*/0));
    return {};
  }
  if (state_ == State::kStopped) return {};  // It has posted, be it that the last one failed.
  // Under way: the stub makes them before anything else.
  Area& a = area();
  const bool done =
      platform_.wait_until(*this, [&] { return std::atomic_ref(a.done).load() == sequence_; });
  if (!done) return Err(ESRCH);
  return {};
}

Result<size_t> TrapThread::read_memory(uint64_t addr, std::span<std::byte> dst) {
  const uint64_t skip = addr - copied_;
  if (skip >= copied_length_) return space_->read(addr, dst);
  const size_t n = std::min<uint64_t>(dst.size(), copied_length_ - skip);
  memcpy(dst.data(), platform_.areas().buffer(index_).data() + skip, n);
  space_->patches()->hide(addr, dst.first(n));
  platform_.count.in_with_post++, platform_.count.in_with_post_bytes += n;
  return n;
}

// Small results go into the buffer; the stub copies them on when it runs again.
Result<size_t> TrapThread::write_memory(uint64_t addr, std::span<const std::byte> src, bool known) {
  constexpr uint64_t kSmall = 8192;
  if (!known || src.size() > kSmall || state_ != State::kStopped ||
      space_->patches()->touches(addr, src.size())) {
    return space_->write(addr, src);
  }
  if (queued_.size() == trap::kMaxCommands || buffer_used_ + src.size() > USK_AREA_BUFFER_SIZE) {
    TRY(settle());
  }
  TRY(space_->settle(this));
  TRY(space_->settle_copies(addr, src.size(), this));
  memcpy(platform_.areas().buffer(index_).data() + buffer_used_, src.data(), src.size());
  TRY(copy_later({trap::kCmdCopyOut, {addr, src.size(), buffer_used_}}, src.size()));
  buffer_used_ += (src.size() + 15) & ~uint64_t(15);
  platform_.count.out_with_answer++, platform_.count.out_with_answer_bytes += src.size();
  return src.size();
}

Result<std::vector<std::byte>> TrapThread::fpu_state() {
  TRY(call({trap::kCmdSaveFpu, {xstate_mask()}}));
  std::vector<std::byte> state(xstate_size());
  memcpy(state.data(), platform_.areas().buffer(index_).data(), state.size());
  make_ptrace_xstate(state);
  return state;
}

Result<void> TrapThread::set_fpu_state(std::span<const std::byte> state) {
  if (state.size() > xstate_size()) return Err(EINVAL);
  memcpy(platform_.areas().buffer(index_).data(), state.data(), state.size());
  TRY(call({trap::kCmdRestoreFpu, {}}));
  return {};
}

Result<void> TrapThread::begin_with_fpu_state(std::span<const std::byte> state) {
  const bool is_free = buffer_used_ == 0 && copied_out_.empty();
  if (!is_free || state.size() != xstate_size() || !is_surely_loadable(state)) {
    return set_fpu_state(state);
  }
  memcpy(platform_.areas().buffer(index_).data(), state.data(), state.size());
  buffer_used_ = (state.size() + 63) & ~uint64_t(63);
  return call_before_it_runs({trap::kCmdRestoreFpu, {}});
}

bool TrapThread::save_frame_fpu(uint64_t addr) {
  const uint64_t size = xstate_size() + 4;
  if (addr >= kGuestEnd - size || space_->patches()->touches(addr, size)) return false;
  return copy_later({trap::kCmdSaveFrameFpu, {addr}}, size).has_value();
}

bool TrapThread::load_frame_fpu(uint64_t addr) {
  if (addr >= kGuestEnd) return false;
  return call_later({trap::kCmdLoadFrameFpu, {addr}}).has_value();
}

void TrapThread::lose() {
  platform_.left_guest(*this);
  state_ = State::kLost;
  notice_ = 0;
  queued_.clear();
  brought_.clear();
}

}  // namespace usk::platform
