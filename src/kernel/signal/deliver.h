// Handler frames: how a signal reaches guest code and how it returns.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Puts a frame for `info` on the guest's stack and enters the handler. `mask` is what sigreturn
// will restore. False: the stack cannot take it.
bool push_handler_frame(Task& t, const siginfo_t& info, const SignalAction& action, SignalSet mask);
// rt_sigreturn(2): registers and alternate stack from the frame; the mask it holds. Nothing: it is
// not a frame.
std::optional<SignalSet> pop_handler_frame(Task& t);

// sigaltstack(2) towards the stack pointer `sp`.
bool on_alt_stack(const AltStack& stack, uint64_t sp);

// A call that a signal ended is run again, or fails, depending on whether a handler runs and on
// its flags (restart codes in the result register).
void restart_or_fail_syscall(Task& t, bool handler, bool sa_restart);

}  // namespace usk
