// How a system call handler ends.
#pragma once
#include <concepts>
#include <variant>

#include "base/result.h"
#include "base/wait.h"
#include "kernel/run/run_state.h"

namespace usk {

// What a signal does to a blocked call (Linux's restart codes, which a tracer sees in the result
// register): run it again always, run it again under SA_RESTART, run it again only if no handler
// runs, go on with what is left of a timeout through restart_syscall(2), or fail with EINTR or
// EAGAIN.
enum class OnSignal : uint8_t { kNoIntr, kRestartSys, kNoHand, kRestartBlock, kInterrupt, kAgain };
constexpr int kERESTARTSYS = 512, kERESTARTNOINTR = 513, kERESTARTNOHAND = 514,
              kERESTART_RESTARTBLOCK = 516;
int restart_code(OnSignal on_signal);

// The call waits. It has registered where wake-ups come from (Task::waits) and is called again
// after one, at `until`, or when a signal came with nothing to report first.
struct Block {
  Deadline until;
  OnSignal on_signal = OnSignal::kRestartSys;
  // Only a fatal signal ends the wait.
  bool killable_only = false;
};

// The call waits for a private futex where the threads of its space wake each other
// (platform::Thread::wait_futex()); it is called again with the trap that ends it.
struct GuestWait {
  uint64_t addr = 0;
  uint32_t value = 0, bitset = 0;
  OnSignal on_signal = OnSignal::kRestartSys;
};

// A signal for the caller is on its way: the call ends as if interrupted by it.
struct Signalled {
  OnSignal on_signal = OnSignal::kRestartSys;
};

// The registers already hold what the call leaves (rt_sigreturn).
struct RegistersSet {};

// How a handler that did not fail ends: a value, a wait, or another run state.
class Outcome {
 public:
  template <std::integral I>
  Outcome(I v) : v_(int64_t(v)) {}
  Outcome(Block b) : v_(b) {}
  Outcome(GuestWait w) : v_(w) {}
  Outcome(Signalled s) : v_(s) {}
  Outcome(RegistersSet r) : v_(r) {}
  Outcome(RunState s) : v_(std::move(s)) {}
  template <class S>
    requires(std::convertible_to<S, RunState> && !std::integral<S>)
  Outcome(S s) : v_(RunState(std::move(s))) {}

  std::variant<int64_t, Block, GuestWait, Signalled, RegistersSet, RunState> v_;
};

using SyscallResult = Result<Outcome>;

}  // namespace usk
