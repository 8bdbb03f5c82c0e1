#include <sys/syscall.h>

#include <cstring>

#include "arch/x86_64/signal_frame.h"
#include "kernel/run/outcome.h"
#include "kernel/signal/deliver.h"

namespace usk {
namespace {

constexpr int kAutoDisarm = int(1u << 31);  // SS_AUTODISARM

// What the floating point state of every thread here has alike: its size, and in the legacy area
// the features that are enabled and the bits of MXCSR that may be set.
struct FpuShape {
  size_t size = 0;  // 0: not seen yet.
  std::array<std::byte, 512> legacy{};
};
Mutex<Rank::kLeaf> shape_mutex;
FpuShape known_shape GUARDED_BY(shape_mutex);

FpuShape remember_shape(std::span<const std::byte> state) {
  Lock lock(shape_mutex);
  if (known_shape.size == 0 && state.size() >= known_shape.legacy.size()) {
    memcpy(known_shape.legacy.data(), state.data(), known_shape.legacy.size());
    known_shape.size = state.size();
  }
  return known_shape;
}

// Asks the platform only if nobody has: a sigreturn comes after a frame was made, mostly.
Result<FpuShape> fpu_shape(Task& t) {
  if (FpuShape shape = remember_shape({}); shape.size) return shape;
  return remember_shape(TRY(t.cpu->fpu_state()));
}

// The frame at `at` and what follows it, read at once: the state that push_handler_frame() put
// there. What lies elsewhere is read by itself.
class FrameReader {
 public:
  FrameReader(Task& t, uint64_t at, size_t size) : mem_(t.mem()), at_(at), bytes_(size) {
    const auto area = t.mm->find(at);
    const size_t here = area ? std::min<uint64_t>(size, area->end - at) : 0;
    bytes_.resize(mem_.read(at, std::span(bytes_).first(here)).value_or(0));
  }
  Result<void> copy_in(std::span<std::byte> dst, uint64_t addr) {
    const uint64_t skip = addr - at_;
    if (skip > bytes_.size() || dst.size() > bytes_.size() - skip) return mem_.copy_in(dst, addr);
    memcpy(dst.data(), bytes_.data() + skip, dst.size());
    return {};
  }

 private:
  UserMemory mem_;
  const uint64_t at_;
  std::vector<std::byte> bytes_;
};

}  // namespace

bool on_alt_stack(const AltStack& stack, uint64_t sp) {
  if (stack.flags & kAutoDisarm) return false;
  return sp > stack.addr && sp - stack.addr <= stack.size;
}

// Where the platform does not tell: a page that may be read can only have been written.
uint64_t guess_page_fault_error(Task& t, int code) {
  const auto area = t.mm->find(t.fault.address);
  const bool write = area && (area->prot & PROT_READ) && !(area->prot & PROT_WRITE);
  return 4 | (code == SEGV_ACCERR ? 1 : 0) | (write ? 2 : 0);
}

bool push_handler_frame(Task& t, const siginfo_t& info, const SignalAction& action,
                        SignalSet mask) {
  Regs& regs = t.cpu->regs();
  FrameRequest q{};
  q.info = info;
  q.handler = action.handler;
  q.restorer = action.restorer;
  q.context.mask = mask;
  q.context.stack_addr = t.alt_stack.addr;
  q.context.stack_size = t.alt_stack.size;
  q.context.stack_flags = t.alt_stack.flags;
  if (t.alt_stack.size && !(t.alt_stack.flags & kAutoDisarm)) {
    q.context.stack_flags = on_alt_stack(t.alt_stack, regs.rsp) ? SS_ONSTACK : 0;
  }
  const bool switch_stack =
      (action.flags & SA_ONSTACK) && t.alt_stack.size && !on_alt_stack(t.alt_stack, regs.rsp);
  if (switch_stack) q.stack_top = t.alt_stack.addr + t.alt_stack.size;
  if (info.si_signo == SIGSEGV || info.si_signo == SIGBUS) {
    q.cr2 = t.fault.address;
    q.trapno = t.fault.number ? t.fault.number : 14;
    q.err = t.fault.number ? t.fault.error : guess_page_fault_error(t, info.si_code);
  }
  auto fpu = t.cpu->fpu_state();
  if (!fpu) return false;
  q.fpu = *fpu;
  remember_shape(*fpu);
  const BuiltFrame frame = build_frame(q, regs);
  if (switch_stack && frame.addr < t.alt_stack.addr) return false;
  if (!t.mem().copy_out(frame.addr, frame.bytes)) return false;
  enter_handler(regs, frame, q);
  if (t.alt_stack.flags & kAutoDisarm) t.alt_stack = AltStack{};
  return true;
}

std::optional<SignalSet> pop_handler_frame(Task& t) {
  constexpr size_t kMostBetween = 64;  // The state stands at a multiple of it.
  Regs& regs = t.cpu->regs();
  SignalFrame frame;
  const uint64_t at = regs.rsp - sizeof(frame.return_address);
  const auto shape = fpu_shape(t);
  if (!shape) return std::nullopt;
  FrameReader mem(t, at, sizeof frame + kMostBetween + shape->size);
  if (!mem.copy_in(std::as_writable_bytes(std::span(&frame, 1)), at)) return std::nullopt;
  if (!restore_regs(regs, frame.context.mcontext)) return std::nullopt;
  if (const uint64_t fp = frame.context.mcontext.fpstate) {
    std::vector<std::byte> state(512);
    if (!mem.copy_in(state, fp)) return std::nullopt;
    const size_t size = fpu_state_size(std::span<const std::byte, 512>(state), shape->size);
    // A frame of the legacy area alone leaves the rest as it is initially.
    state.resize(shape->size);
    if (size > 512 && !mem.copy_in(std::span(state).subspan(512, size - 512), fp + 512)) {
      return std::nullopt;
    }
    if (size == 512) {
      const uint64_t x87_and_sse = 3;
      memcpy(state.data() + 512, &x87_and_sse, sizeof x87_and_sse);
    }
    prepare_fpu_restore(state, shape->legacy);
    if (!t.cpu->set_fpu_state(state)) return std::nullopt;
  }
  // Only a usable alternate stack is taken over; a bad one is ignored as Linux does.
  const UserContext& c = frame.context;
  const int mode = c.stack_flags & ~kAutoDisarm;
  if (mode == SS_DISABLE) {
    t.alt_stack = AltStack{};
  } else if (mode == 0 || mode == SS_ONSTACK) {
    if (!on_alt_stack(t.alt_stack, regs.rsp)) {
      t.alt_stack = {c.stack_addr, c.stack_size, c.stack_flags & kAutoDisarm};
    }
  }
  return c.mask;
}

void restart_or_fail_syscall(Task& t, bool handler, bool sa_restart) {
  Regs& regs = t.cpu->regs();
  if (regs.syscall_nr() < 0) return;
  const uint64_t nr = uint64_t(regs.syscall_nr());
  switch (-regs.result()) {
    case kERESTARTSYS:
      if (handler && !sa_restart) return regs.set_result(-EINTR);
      break;
    case kERESTARTNOINTR: break;
    case kERESTARTNOHAND:
      if (handler) return regs.set_result(-EINTR);
      break;
    case kERESTART_RESTARTBLOCK:
      if (handler) return regs.set_result(-EINTR);
      regs.rewind_syscall(SYS_restart_syscall);
      regs.orig_rax = -1;
      return;
    default: return;
  }
  regs.rewind_syscall(nr);
  regs.orig_rax = -1;
}

}  // namespace usk
