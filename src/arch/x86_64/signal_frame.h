// The frame a signal handler runs on: sigreturn(2), and the layout that libc and unwinders know.
#pragma once
#include <signal.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "arch/x86_64/regs.h"

namespace usk {

// The kernel's struct ucontext and struct rt_sigframe of x86-64.
struct SignalContext {
  uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip,
      eflags;
  uint16_t cs, gs, fs, ss;
  uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};
static_assert(sizeof(SignalContext) == 256);
struct UserContext {
  uint64_t flags, link;
  uint64_t stack_addr;
  int32_t stack_flags, pad;
  uint64_t stack_size;
  SignalContext mcontext;
  uint64_t mask;
};
static_assert(sizeof(UserContext) == 304);
struct SignalFrame {
  uint64_t return_address;
  UserContext context;
  siginfo_t info;
};
static_assert(sizeof(SignalFrame) == 440);

// What a frame is built from.
struct FrameRequest {
  siginfo_t info;
  uint64_t handler, restorer;
  uint64_t stack_top;  // The alternate stack's end, or 0: go on below the red zone.
  UserContext
      context;  // flags, mcontext registers and mask are filled in here; stack_* and mask given.
  uint64_t err, trapno, cr2;
  size_t fpu_size;  // Of the floating point state that lies in the frame; 0: none does.
};
struct BuiltFrame {
  uint64_t addr;  // Of `frame`; also the new stack pointer.
  SignalFrame frame;
  uint64_t fpu_addr;  // Where the floating point state belongs.
};
BuiltFrame build_frame(const FrameRequest& request, const Regs& regs);
// The registers with which the handler starts.
void enter_handler(Regs& regs, const BuiltFrame& frame, const FrameRequest& request);

// sigreturn: the general registers of `context` into `regs`, made safe but for rip, which may be no
// address that the processor can go to.
void restore_regs(Regs& regs, const SignalContext& context);
// How much of a frame the floating point state of `size` bytes (Thread::fpu_state()) takes.
size_t frame_fpu_size(size_t size);
// Makes of that state what lies in a frame.
void make_frame_fpu(std::vector<std::byte>& state);
// Size of the floating point state that starts with `legacy` (its first 512 bytes): 512, or that
// of the whole XSAVE area, of at most `max`.
size_t fpu_state_size(std::span<const std::byte, 512> legacy, size_t max);
// Clears what ptrace(2) would refuse or misread. False: the processor would not load this state.
bool prepare_fpu_restore(std::span<std::byte> state, std::span<const std::byte> current);

}  // namespace usk
