// The code of a stub process: posts what the guest asks for, waits for the answer, obeys orders.
// Freestanding: no library, no data of its own, general registers only. See README.md.
#include <limits.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>

#include "abi/time_page.h"
#include "platform/trap/area.h"

using namespace usk::trap;

extern "C" {
long usk_call(long nr, long a, long b, long c, long d, long e, long f);
long usk_clone_thread(long flags, Area* area, uint32_t* alive);
long usk_futex_wait(uint64_t addr, uint32_t op, uint32_t value, const void* until, uint32_t bitset);
long usk_fork(long flags, long block, long offset);
long usk_guarded(Area* a, long (*function)(Area*, const Command*), const Command* argument);
void usk_xsave(void* to, uint64_t mask);
void usk_xrstor(const void* from, uint64_t mask);
void usk_fxrstor(const void* from);
[[noreturn]] void usk_on_stack(Area* a, void (*function)(Area*));
extern const char usk_restorer[], usk_guard_fault[], usk_guest_trapped[];
extern const char usk_exit_window[], usk_exit_window_end[], usk_slow_window[],
    usk_slow_window_end[], usk_wait_window[], usk_wait_window_end[], usk_wait_interrupted[];

void* memcpy(void* to, const void* from, size_t n) {
  void* d = to;
  __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n)::"memory");
  return to;
}
void* memset(void* to, int byte, size_t n) {
  void* d = to;
  __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(byte) : "memory");
  return to;
}
}

namespace {

template <class... A>
long call(long nr, A... args) {
  long a[6] = {(long)args...};
  return usk_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

const volatile Policy& policy() { return *reinterpret_cast<const volatile Policy*>(USK_POLICY); }

uint32_t load(const volatile uint32_t& word) { return __atomic_load_n(&word, __ATOMIC_ACQUIRE); }

std::byte* buffer(Area* a) { return reinterpret_cast<std::byte*>(a) + USK_AREA_BUFFER; }

uint32_t current_cpu() {
  uint32_t v = 0x7b;  // The segment whose limit Linux sets to the number of the CPU.
  __asm__ volatile("lsl %1, %0" : "=r"(v) : "r"(v) : "cc");
  return v & 0xfff;
}

uint64_t cycles() {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return low | uint64_t(high) << 32;
}

void set_fs_base(uint64_t v) { __asm__ volatile("wrfsbase %0" ::"r"(v)); }
uint64_t fs_base() {
  uint64_t v;
  __asm__ volatile("rdfsbase %0" : "=r"(v));
  return v;
}
void set_gs_base(uint64_t v) { __asm__ volatile("wrgsbase %0" ::"r"(v)); }
uint64_t gs_base() {
  uint64_t v;
  __asm__ volatile("rdgsbase %0" : "=r"(v));
  return v;
}

// Spins while the kernel process polls on another CPU. True: the answer is there.
bool spin(Area* a, uint32_t cpu) {
  if (!policy().polling || policy().polling_cpu == cpu || load(a->no_tsc)) return false;
  const uint64_t end = cycles() + policy().spin_cycles;
  do {
    for (int i = 0; i < 16; i++) {
      if (load(a->order)) return true;
      __builtin_ia32_pause();
    }
  } while (!load(a->parked) && cycles() < end);
  return load(a->order);
}

long at_bell(uint32_t bell, long operation, uint32_t value) {
  return call(SYS_futex, &policy().bells[bell % kBells], operation, value, 0);
}

// Wakes whom the kernel process has asked it to wake: it has an order.
void wake_other(Area* a) {
  if (!load(a->to_wake)) return;
  const uint32_t bell = __atomic_exchange_n(&a->to_wake, 0, __ATOMIC_SEQ_CST);
  if (bell) at_bell(bell - 1, FUTEX_WAKE, INT_MAX);
}

// Until there is an order, or something else came; not if `unseen`, and the post still is.
void sleep(Area* a, bool unseen) {
  __atomic_exchange_n(&a->waiting, 1, __ATOMIC_SEQ_CST);
  wake_other(a);
  const uint32_t bell = a->index, rung = load(policy().bells[bell % kBells]);
  if (!load(a->order) && (!unseen || !load(a->post))) at_bell(bell, FUTEX_WAIT, rung);
  a->waiting = 0;
}

// Tells the kernel process of a post. Where nobody listens any more it has ended, and so does this.
void notify(Area* a) {
  if (call(USK_NR_NOTIFY, a->index) == -38) call(SYS_exit_group, 125);
}

// Hands the thread to the kernel process until it has answered. A post that is still there was not
// seen yet: who does not poll must be told of it.
void post(Area* a, Post kind) {
  const uint32_t cpu = current_cpu();
  a->cpu = cpu;
  a->interrupt = 0;
  a->parked = 0;
  a->order = 0;
  __atomic_exchange_n(&a->post, uint32_t(kind), __ATOMIC_SEQ_CST);
  while (!load(a->order)) {
    const bool unseen = load(a->unwatched) || !policy().polling;
    if (load(a->post) && unseen) {
      notify(a);
    } else if (!spin(a, cpu)) {
      // The kernel process may have ended, polling, before a new child asked to end with it.
      if (load(a->post) && kind == Post::kReady) notify(a);
      sleep(a, unseen);
    }
  }
  wake_other(a);
}

long compare_exchange(Area*, const Command* c) {
  uint32_t expected = uint32_t(c->args[1]);
  __atomic_compare_exchange_n(reinterpret_cast<uint32_t*>(c->args[0]), &expected,
                              uint32_t(c->args[2]), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
long copy_out(Area* a, const Command* c) {
  memcpy(reinterpret_cast<void*>(c->args[0]), buffer(a) + c->args[2], c->args[1]);
  return 0;
}
long restore_fpu(Area* a, const Command*) {
  usk_xrstor(buffer(a), ~uint64_t(0));
  return 0;
}

// The software-reserved bytes of a frame's XSAVE area (struct _fpx_sw_bytes).
struct FrameState {
  std::byte legacy[464];
  uint32_t magic, extended_size;
  uint64_t features;
  uint32_t size, padding[7];
  std::byte header[64];
};
constexpr uint32_t kFrameMagic = 0x46505853, kFrameMagicEnd = 0x46505845;

void save_fpu(std::byte* to, uint64_t mask) {
  // XSAVE leaves most of the header as it is.
  memset(reinterpret_cast<FrameState*>(to)->header, 0, sizeof FrameState::header);
  usk_xsave(to, mask);
}

void save_frame_state(std::byte* to) {
  auto* f = reinterpret_cast<FrameState*>(to);
  const uint32_t size = policy().xsave_size;
  save_fpu(to, policy().xsave_mask);
  memset(&f->magic, 0, sizeof(FrameState) - offsetof(FrameState, magic) - sizeof f->header);
  f->magic = kFrameMagic;
  f->extended_size = size + sizeof kFrameMagicEnd;
  f->features = policy().xsave_mask;
  f->size = size;
  *reinterpret_cast<uint32_t*>(to + size) = kFrameMagicEnd;
}
long save_frame_fpu(Area*, const Command* c) {
  save_frame_state(reinterpret_cast<std::byte*>(c->args[0]));
  return 0;
}
// As the host does: what is no frame of the extended format is one of the legacy format.
long load_frame_fpu(Area*, const Command* c) {
  const uint64_t mask = policy().xsave_mask;
  const auto* initial = const_cast<const unsigned char*>(policy().initial_fpu);
  const auto* f = reinterpret_cast<const FrameState*>(c->args[0]);
  if (!f) return usk_xrstor(initial, mask), 0;
  const uint32_t size = f->size;
  const bool extended = f->magic == kFrameMagic && size >= sizeof *f &&
                        size <= policy().xsave_size && f->extended_size >= size &&
                        *reinterpret_cast<const uint32_t*>(c->args[0] + size) == kFrameMagicEnd;
  const uint64_t features = extended ? f->features & mask : 3;
  if (mask & ~features) usk_xrstor(initial, mask & ~features);
  if (extended) {
    usk_xrstor(f, features);
  } else {
    usk_fxrstor(f);
  }
  return 0;
}

long run(Area* a, const Command& c) {
  switch (c.nr) {
    case kCmdClone:
      return usk_clone_thread(c.args[0], reinterpret_cast<Area*>(c.args[1]),
                              reinterpret_cast<uint32_t*>(c.args[2]));
    case kCmdFork: return usk_fork(c.args[0], c.args[1], c.args[2]);
    case kCmdCompareExchange: return usk_guarded(a, compare_exchange, &c);
    case kCmdCopyOut: return usk_guarded(a, copy_out, &c);
    case kCmdSaveFrameFpu: return usk_guarded(a, save_frame_fpu, &c);
    case kCmdLoadFrameFpu: return usk_guarded(a, load_frame_fpu, &c);
    case kCmdRestoreFpu: return usk_guarded(a, restore_fpu, &c);
    case kCmdForgetRseq: call(SYS_rseq, c.args[0], c.args[1], c.args[2], c.args[3]); return 0;
    case kCmdHold:
      while (load(a->held)) call(SYS_futex, &a->held, FUTEX_WAIT, 1, 0);
      return 0;
    case kCmdSaveFpu: save_fpu(buffer(a), c.args[0]); return 0;
    default: return call(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5]);
  }
}

#include "platform/trap/blob/answers.h"
#include "platform/trap/blob/futexes.h"

enum class Copy { kNothing, kString, kBuffer };
struct CopyRule {
  Copy what;
  uint8_t address, length;  // Which arguments; of a buffer of fixed size: 0x80 + size / 8.
};

// What a call will want from memory: copied along with its post. Only a hint, since the kernel
// process copies by itself what is missing.
CopyRule copy_rule(uint32_t nr) {
  switch (nr) {
    case SYS_open:
    case SYS_stat:
    case SYS_lstat:
    case SYS_access:
    case SYS_chdir:
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_creat:
    case SYS_unlink:
    case SYS_readlink:
    case SYS_chmod:
    case SYS_statfs: return {Copy::kString, 0, 0};
    case SYS_openat:
    case SYS_newfstatat:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_readlinkat:
    case SYS_statx:
    case SYS_unlinkat:
    case SYS_mkdirat: return {Copy::kString, 1, 0};
    case SYS_write:
    case SYS_pwrite64:
    case SYS_sendto: return {Copy::kBuffer, 1, 2};
    case SYS_rt_sigprocmask: return {Copy::kBuffer, 1, 0x81};
    case SYS_rt_sigaction: return {Copy::kBuffer, 1, 0x84};
    case SYS_nanosleep: return {Copy::kBuffer, 0, 0x82};
    case SYS_clock_nanosleep: return {Copy::kBuffer, 2, 0x82};
    case SYS_futex: return {Copy::kBuffer, 3, 0x82};
    case SYS_epoll_ctl: return {Copy::kBuffer, 3, 0x82};
    default: return {Copy::kNothing, 0, 0};
  }
}

long copy_string(Area* a, const Command*) {
  const char* from = reinterpret_cast<const char*>(a->copied);
  char* to = reinterpret_cast<char*>(buffer(a));
  uint32_t i = 0;
  while (i < 4095 && from[i]) to[i] = from[i], i++;
  if (from[i]) return i;  // Longer than a path may be.
  to[i] = 0;
  return i + 1;
}
long copy_buffer(Area* a, const Command* c) {
  memcpy(buffer(a), reinterpret_cast<const void*>(a->copied), c->args[0]);
  return long(c->args[0]);
}

// A thread that such a call makes has the floating point state of its maker.
bool makes_thread(uint32_t nr) { return nr == SYS_clone || nr == SYS_clone3 || nr == SYS_vfork; }

// The host would touch the area on the way back from any call, when its memory may be gone.
void forget_rseq(Area* a) {
  constexpr int kUnregister = 1;
  const Rseq r = a->rseq;
  if (r.addr) call(SYS_rseq, r.addr, r.length, kUnregister, r.signature);
  a->rseq.addr = 0;
}

void copy_in(Area* a) {
  a->copied_length = 0;
  if (a->nr == SYS_exit) return forget_rseq(a);
  if (makes_thread(a->nr)) return save_fpu(buffer(a), policy().xsave_mask);
  const CopyRule rule = a->nr == SYS_rt_sigreturn
                            ? CopyRule{Copy::kBuffer, 0, 0x80 | USK_FRAME_CONTEXT / 8}
                            : copy_rule(a->nr);
  if (rule.what == Copy::kNothing) return;
  const uint64_t operation = a->args[1] & 127;
  if (a->nr == SYS_futex && operation != FUTEX_WAIT && operation != FUTEX_WAIT_BITSET) return;
  a->copied = a->nr == SYS_rt_sigreturn ? a->regs.rsp : a->args[rule.address];
  if (!a->copied) return;
  Command c{};
  c.args[0] = rule.length & 0x80 ? (rule.length & 0x7f) * 8u : a->args[rule.length];
  if (rule.what == Copy::kBuffer && (c.args[0] == 0 || c.args[0] > USK_AREA_BUFFER_SIZE)) return;
  const long n = usk_guarded(a, rule.what == Copy::kString ? copy_string : copy_buffer, &c);
  if (n > 0) a->copied_length = uint32_t(n);
}

// As if the thread itself had met it.
Post tell_fault(Area* a) {
  a->fault.signal = SIGSEGV;
  a->fault.code = SI_KERNEL;
  a->fault.address = 0;
  a->fault.error = 0;
  a->fault.trap = 13;
  return Post::kFault;
}

// Runs the order's commands, until one fails that was promised: what to post then.
Post run_commands(Area* a) {
  const uint32_t count = a->command_count;
  Post failure = Post::kNone;
  for (uint32_t i = 0; i < count && i < kMaxCommands; i++) {
    const Command c = a->commands[i];
    const long r = run(a, c);
    a->commands[i].result = r;
    if (r >= 0 || r < -4095) continue;
    if (c.nr == kCmdSaveFrameFpu || c.nr == kCmdLoadFrameFpu) {
      failure = tell_fault(a);
      continue;
    }
    if (c.nr != kCmdCopyOut) return Post::kFailed;
    a->result = r;  // What the call would have met itself.
  }
  a->command_count = 0;
  __atomic_store_n(&a->done, a->sequence, __ATOMIC_RELEASE);
  return failure;
}

// Obeys until guest code is to run on.
void obey(Area* a) {
  for (;;) {
    const auto order = Order(load(a->order));
    const Post failure = a->command_count == 0 ? Post::kNone : run_commands(a);
    if (order == Order::kCommands || failure != Post::kNone) {
      post(a, order == Order::kCommands ? Post::kDone : failure);
      continue;
    }
    switch (order) {
      case Order::kReturn: a->regs.rax = uint64_t(a->result); return;
      case Order::kStep: a->regs.eflags |= 0x100; [[fallthrough]];
      case Order::kRegs: set_fs_base(a->regs.fs_base); return;
      case Order::kExit: call(SYS_exit, 0); break;
      case Order::kWait:
        a->result = wait_as_ordered(a);
        post(a, Post::kWaited);
        break;
      default: post(a, Post::kFailed);
    }
  }
}

void set_signal_stack(Area* a) {
  stack_t s{};
  s.ss_sp = reinterpret_cast<std::byte*>(a) + USK_AREA_SIGNAL_STACK;
  s.ss_size = USK_AREA_SIZE - USK_AREA_SIGNAL_STACK;
  call(SYS_sigaltstack, &s, 0);
}

bool in_blob(uint64_t ip) { return ip >= USK_BLOB_BASE && ip < USK_BLOB_END; }

bool in_thunks(uint64_t ip) { return ip >= USK_THUNKS && ip < USK_THUNKS_END; }
uint64_t thunk_word(const greg_t* g, uint64_t offset) {
  const uint64_t thunk = uint64_t(g[REG_RIP]) & ~uint64_t(USK_THUNK_SIZE - 1);
  return *reinterpret_cast<const uint64_t*>(thunk + offset);
}

// In a thunk's tail, after the call: to its beginning, or past its end. False: it is not there.
bool leave_tail(greg_t* g) {
  const uint64_t tail = thunk_word(g, USK_THUNK_TAIL), ip = uint64_t(g[REG_RIP]);
  if (ip < tail) return false;
  if (ip > tail) g[REG_RIP] = greg_t(thunk_word(g, USK_THUNK_BACK));
  return true;
}

// A single step traps before a thunk has done what its site did ahead of the call.
void make_first_step(greg_t* g) {
  const auto* code = reinterpret_cast<const uint8_t*>(g[REG_RIP]);
  if (uint64_t(code) % USK_THUNK_SIZE) return;
  if (code[0] == 0xb8) g[REG_RAX] = *reinterpret_cast<const uint32_t*>(code + 1);
  if (code[0] == 0x4c) g[REG_R9] = *reinterpret_cast<const greg_t*>(g[REG_RSP] + 8);
}

void save_registers(Area* a, const greg_t* g) {
  StubRegs& r = a->regs;
  r.r15 = g[REG_R15], r.r14 = g[REG_R14], r.r13 = g[REG_R13], r.r12 = g[REG_R12];
  r.rbp = g[REG_RBP], r.rbx = g[REG_RBX], r.r11 = g[REG_R11], r.r10 = g[REG_R10];
  r.r9 = g[REG_R9], r.r8 = g[REG_R8], r.rax = g[REG_RAX], r.rcx = g[REG_RCX];
  r.rdx = g[REG_RDX], r.rsi = g[REG_RSI], r.rdi = g[REG_RDI], r.rip = g[REG_RIP];
  r.eflags = g[REG_EFL], r.rsp = g[REG_RSP];
  r.fs_base = fs_base();
  const uint64_t gs = gs_base();
  r.gs_base = gs == a->self ? 0 : gs;
}

// Lets the handler return to blob code that hands the thread to the kernel process.
void go_post(Area* a, greg_t* g, Post kind) {
  set_gs_base(a->self);
  g[REG_RDI] = greg_t(a);
  g[REG_RSI] = greg_t(kind);
  g[REG_RSP] = greg_t(a->stack_top);
  g[REG_RIP] = greg_t(usk_guest_trapped);
  g[REG_EFL] &= ~0x40500;  // TF, DF and AC are the guest's.
}

constexpr int kHardwareTrap = 4;  // TRAP_HWBKPT

struct SigsysInfo {  // siginfo_t's _sigsys
  uint64_t call_address;
  int32_t nr;
  uint32_t arch;
};

void on_call(Area* a, const siginfo_t* info, greg_t* g) {
  const auto* sys =
      reinterpret_cast<const SigsysInfo*>(reinterpret_cast<const std::byte*>(info) + 16);
  save_registers(a, g);
  StubRegs& r = a->regs;
  if (in_thunks(r.rip)) r.rip = thunk_word(g, USK_THUNK_RETURN);
  if (sys->arch != 0xc000003e) return go_post(a, g, Post::kSyscall32);
  if ((sys->call_address & ~0xfffull) == 0xffffffffff600000) {
    r.rip = a->fault.address = sys->call_address;
    r.rsp -= 8;  // The host has emulated the return from the page.
    return go_post(a, g, Post::kVsyscall);
  }
  a->nr = uint32_t(r.rax);
  a->args[0] = r.rdi, a->args[1] = r.rsi, a->args[2] = r.rdx;
  a->args[3] = r.r10, a->args[4] = r.r8, a->args[5] = r.r9;
  r.rcx = r.rip;
  r.r11 = r.eflags;
  go_post(a, g, Post::kSyscall);
}

// The kernel process wants the thread: where it is decides how.
void on_kick(Area* a, greg_t* g) {
  // A thunk has changed nothing that its site's call would not change: back to the site.
  if (in_thunks(uint64_t(g[REG_RIP])) && !leave_tail(g)) {
    g[REG_RIP] = greg_t(thunk_word(g, USK_THUNK_SITE));
  }
  const auto ip = uint64_t(g[REG_RIP]);
  auto within = [ip](const char* from, const char* to) {
    return ip >= uint64_t(from) && ip < uint64_t(to);
  };
  if (within(usk_exit_window, usk_exit_window_end) ||
      (ip >= uint64_t(usk_slow_window) && ip <= uint64_t(usk_slow_window_end))) {
    set_gs_base(a->self);
    a->interrupt = 1;
    g[REG_RIP] = greg_t(usk_exit_window);
  } else if (ip >= uint64_t(usk_wait_window) && ip <= uint64_t(usk_wait_window_end)) {
    a->interrupt = 1;
    g[REG_RIP] = greg_t(usk_wait_interrupted);
  } else if (in_blob(ip) || a->fixup) {
    a->interrupt = 1;
  } else {
    save_registers(a, g);
    go_post(a, g, Post::kInterrupted);
  }
}

void on_fault(Area* a, int signal, const siginfo_t* info, greg_t* g) {
  if (a->fixup) {
    g[REG_RIP] = greg_t(usk_guard_fault);
    return;
  }
  if (in_blob(uint64_t(g[REG_RIP]))) call(SYS_exit_group, 125);  // Only a guest can do that.
  // A thunk's look at a gs of the guest's own: it makes the call the slow way. In a tail only a
  // single step can trap.
  if (in_thunks(uint64_t(g[REG_RIP])) && !leave_tail(g)) {
    make_first_step(g);
    g[REG_RIP] = greg_t(thunk_word(g, USK_THUNK_SLOW));
    return;
  }
  save_registers(a, g);
  a->fault.signal = uint32_t(signal);
  a->fault.code = info->si_code;
  a->fault.address = uint64_t(info->si_addr);
  a->fault.error = uint64_t(g[REG_ERR]);
  a->fault.trap = uint64_t(g[REG_TRAPNO]);
  go_post(a, g, Post::kFault);
}

void on_signal(int signal, siginfo_t* info, void* context) {
  greg_t* g = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  auto* a =
      reinterpret_cast<Area*>(uint64_t(__builtin_frame_address(0)) & ~uint64_t(USK_AREA_SIZE - 1));
  if (signal == SIGUSR1) return on_kick(a, g);
  if (signal == SIGSYS && in_blob(uint64_t(g[REG_RIP]))) {
    g[REG_RAX] = -38;
    return;
  }
  if (info->si_code <= 0) return;  // From outside: none of the guest's business.
  const auto ip = uint64_t(g[REG_RIP]);
  // A watchpoint that the stub's own copies met: a kernel's would tell nobody.
  if (signal == SIGTRAP && info->si_code == kHardwareTrap && (in_blob(ip) || in_thunks(ip))) return;
  if (signal == SIGSYS) return on_call(a, info, g);
  on_fault(a, signal, info, g);
}

struct HostAction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  const char* restorer;
  unsigned long mask;
};

void install_handlers() {
  const HostAction action{on_signal, SA_SIGINFO | SA_ONSTACK | SA_RESTART | 0x04000000,
                          usk_restorer, ~0ul};
  static constexpr int kSignals[] = {SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGUSR1};
  for (int s : kSignals) {
    call(SYS_rt_sigaction, s, &action, 0, 8);
  }
}

// The first stub: makes itself what all others are copies of.
void zygote(Area* a) {
  set_signal_stack(a);
  install_handlers();
  // Nobody hears notifications yet: the kernel process waits for this word. Its order empties the
  // address space and installs the filter.
  __atomic_store_n(&a->post, uint32_t(Post::kReady), __ATOMIC_SEQ_CST);
  call(SYS_futex, &a->post, FUTEX_WAKE, 1);
  while (!load(a->order)) sleep(a, false);
  obey(a);
}

}  // namespace

extern "C" {

void usk_trapped(Area* a, Post kind) {
  if (kind == Post::kSyscall || kind == Post::kPatched) {
    if (a->nr == SYS_futex) {
      if (kind == Post::kSyscall && is_hint_due(a)) {
        kind = Post::kHint;
      } else if (make_futex_call(a)) {
        return;
      }
    }
    copy_in(a);
  }
  post(a, kind);
  obey(a);
}

void usk_patched(Area* a) {
  if (answer(a)) {
    a->answered++;
    return;
  }
  usk_trapped(a, Post::kPatched);
}

void usk_kicked(Area* a) { usk_trapped(a, Post::kInterrupted); }

void usk_thread_start(Area* a) {
  set_signal_stack(a);
  usk_trapped(a, Post::kReady);
}

void usk_child_start(Area* a) {
  // PR_SET_PDEATHSIG is not inherited.
  if (call(SYS_prctl, 1, SIGKILL) != 0) call(SYS_exit_group, 125);
  usk_trapped(a, Post::kReady);
}

[[noreturn]] void usk_zygote_start() {
  call(SYS_mmap, USK_POLICY, 0x1000, 1, 0x11, 0, USK_FILE_POLICY);
  const uint64_t index = policy().zygote_index;
  const long offset = USK_FILE_AREAS + long(index) * USK_AREA_SIZE;
  call(SYS_mmap, USK_AREAS, USK_BLOCK_SIZE, 3, 0x11, 0, offset);
  usk_on_stack(reinterpret_cast<Area*>(USK_AREAS), zygote);
}

// A host signal frame with the registers of the area, for rt_sigreturn(2): what popfq and jmp
// cannot restore.
void* usk_build_frame(Area* a) {
  struct Frame {
    uint64_t return_address;
    uint64_t flags, link;
    stack_t stack;
    greg_t gregs[23];
    uint64_t fpu, reserved[8];
    uint64_t mask;
  };
  auto* f = reinterpret_cast<Frame*>(buffer(a));
  std::byte* fpu = buffer(a) + 1024;
  memset(f, 0, sizeof *f);
  save_frame_state(fpu);
  f->flags = 7;
  f->stack.ss_sp = reinterpret_cast<std::byte*>(a) + USK_AREA_SIGNAL_STACK;
  f->stack.ss_size = USK_AREA_SIZE - USK_AREA_SIGNAL_STACK;
  const StubRegs& r = a->regs;
  greg_t* g = f->gregs;
  g[REG_R8] = r.r8, g[REG_R9] = r.r9, g[REG_R10] = r.r10, g[REG_R11] = r.r11;
  g[REG_R12] = r.r12, g[REG_R13] = r.r13, g[REG_R14] = r.r14, g[REG_R15] = r.r15;
  g[REG_RDI] = r.rdi, g[REG_RSI] = r.rsi, g[REG_RBP] = r.rbp, g[REG_RBX] = r.rbx;
  g[REG_RDX] = r.rdx, g[REG_RAX] = r.rax, g[REG_RCX] = r.rcx, g[REG_RSP] = r.rsp;
  g[REG_RIP] = r.rip, g[REG_EFL] = r.eflags;
  g[REG_CSGSFS] = 0x33 | greg_t(0x2b) << 48;
  f->fpu = uint64_t(fpu);
  return f;
}
}
