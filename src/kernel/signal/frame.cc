#include <sys/syscall.h>

#include <cstring>

#include "arch/x86_64/signal_frame.h"
#include "kernel/run/outcome.h"
#include "kernel/signal/deliver.h"

namespace usk {
namespace {

constexpr int kAutoDisarm = int(1u << 31);  // SS_AUTODISARM

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
  const BuiltFrame frame = build_frame(q, regs);
  if (switch_stack && frame.addr < t.alt_stack.addr) return false;
  if (!t.mem().copy_out(frame.addr, frame.bytes)) return false;
  enter_handler(regs, frame, q);
  if (t.alt_stack.flags & kAutoDisarm) t.alt_stack = AltStack{};
  return true;
}

bool pop_handler_frame(Task& t) {
  Regs& regs = t.cpu->regs();
  UserMemory mem = t.mem();
  SignalFrame frame;
  const uint64_t at = regs.rsp - sizeof(frame.return_address);
  if (!mem.copy_in(std::as_writable_bytes(std::span(&frame, 1)), at)) return false;
  auto current = t.cpu->fpu_state();
  if (!current || !restore_regs(regs, frame.context.mcontext)) return false;
  if (const uint64_t fp = frame.context.mcontext.fpstate) {
    std::vector<std::byte> state(512);
    if (!mem.copy_in(state, fp)) return false;
    const size_t size = fpu_state_size(std::span<const std::byte, 512>(state), current->size());
    // A frame of the legacy area alone leaves the rest as it is initially.
    state.resize(current->size());
    if (size > 512 && !mem.copy_in(std::span(state).subspan(512, size - 512), fp + 512)) {
      return false;
    }
    if (size == 512) {
      const uint64_t x87_and_sse = 3;
      memcpy(state.data() + 512, &x87_and_sse, sizeof x87_and_sse);
    }
    prepare_fpu_restore(state, *current);
    if (!t.cpu->set_fpu_state(state)) return false;
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
  return true;
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
