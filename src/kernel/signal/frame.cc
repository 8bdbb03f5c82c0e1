#include <sys/syscall.h>

#include <cstring>

#include "arch/x86_64/signal_frame.h"
#include "arch/x86_64/xstate.h"
#include "fs/vfs/guard.h"
#include "kernel/run/outcome.h"
#include "kernel/signal/deliver.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

constexpr int kAutoDisarm = int(1u << 31);  // SS_AUTODISARM

// Where a policy's mark stands, in what Linux leaves unused.
uint64_t& cookie_of(UserContext& c) { return c.mcontext.reserved[0]; }

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

namespace {

// Once the frame is written: the stack has grown then.
bool save_fpu(Task& t, uint64_t addr, size_t size) {
  t.mm->bring(*t.cpu, addr, size);
  if (t.mm->is_writable(addr, size) && t.cpu->save_frame_fpu(addr)) return true;
  auto state = t.cpu->fpu_state();
  if (!state) return false;
  state->resize(xstate_size());
  make_frame_fpu(*state);
  return t.mem().copy_out(addr, *state).has_value();
}

bool load_fpu(Task& t, uint64_t addr) {
  t.mm->bring(*t.cpu, addr, xstate_size());
  if (t.cpu->load_frame_fpu(addr)) return true;
  auto current = t.cpu->fpu_state();
  if (!current) return false;
  std::vector<std::byte> state(current->size());
  size_t size = 512;
  if (addr) {
    if (!t.mem().copy_in(std::span(state).first(size), addr)) return false;
    size = fpu_state_size(std::span(std::as_const(state)).first<512>(), current->size());
    if (size > 512 && !t.mem().copy_in(std::span(state).subspan(512, size - 512), addr + 512)) {
      return false;
    }
  } else {
    constexpr uint32_t kControlWord = 0x37f, kMxcsr = 0x1f80;
    memcpy(state.data(), &kControlWord, sizeof kControlWord);
    memcpy(state.data() + 24, &kMxcsr, sizeof kMxcsr);
  }
  if (size == 512) {  // A frame of the legacy area alone: the rest is as it is initially.
    const uint64_t x87_and_sse = 3;
    memcpy(state.data() + 512, &x87_and_sse, sizeof x87_and_sse);
  }
  if (addr % 64 || !prepare_fpu_restore(state, *current)) return false;
  return t.cpu->set_fpu_state(state).has_value();
}

}  // namespace

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
  q.fpu_size = frame_fpu_size(xstate_size());
  BuiltFrame frame = build_frame(q, regs);
  if (installed_guard) cookie_of(frame.frame.context) = installed_guard->frame_cookie(frame.addr);
  if (switch_stack && frame.addr < t.alt_stack.addr) return false;
  if (!t.mem().put(UserPtr<SignalFrame>{frame.addr}, frame.frame)) return false;
  if (!save_fpu(t, frame.fpu_addr, q.fpu_size)) return false;
  enter_handler(regs, frame, q);
  if (t.alt_stack.flags & kAutoDisarm) t.alt_stack = AltStack{};
  return true;
}

std::optional<SignalSet> pop_handler_frame(Task& t) {
  Regs& regs = t.cpu->regs();
  // The handler's return has taken the return address off.
  auto context = t.mem().get(UserPtr<const UserContext>{regs.rsp});
  if (!context) return std::nullopt;
  const uint64_t frame = regs.rsp - offsetof(SignalFrame, context);
  if (installed_guard && !installed_guard->signal_frame(frame, cookie_of(*context))) {
    Lock lock(task_mutex);
    begin_group_exit(*t.group, SIGKILL);
    return std::nullopt;
  }
  restore_regs(regs, context->mcontext);
  const UserContext& c = *context;
  if (!load_fpu(t, c.mcontext.fpstate)) return std::nullopt;
  // Only a usable alternate stack is taken over; a bad one is ignored as Linux does.
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
      return;
    default: return;
  }
  regs.rewind_syscall(nr);  // Whose result is no error: nobody rewinds twice.
}

}  // namespace usk
