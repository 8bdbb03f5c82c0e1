// signal(7): sets, queued signals, actions.
#pragma once
#include <signal.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/fields.h"
#include "base/ref.h"

namespace usk {

constexpr int kSignals = 64;
constexpr int kFirstRealtime = 32;  // The kernel's SIGRTMIN.

// Bit n-1 is signal n: the kernel's sigset_t.
using SignalSet = uint64_t;
constexpr SignalSet signal_bit(int sig) { return SignalSet(1) << (sig - 1); }
constexpr SignalSet kUnblockable = signal_bit(SIGKILL) | signal_bit(SIGSTOP);
constexpr SignalSet kStopSignals =
    signal_bit(SIGSTOP) | signal_bit(SIGTSTP) | signal_bit(SIGTTIN) | signal_bit(SIGTTOU);
// Faults of the processor, delivered before others.
constexpr SignalSet kSynchronous = signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGILL) |
                                   signal_bit(SIGTRAP) | signal_bit(SIGFPE) | signal_bit(SIGSYS);

// What a signal does by default.
enum class DefaultAction { kTerminate, kCore, kIgnore, kStop, kContinue };
DefaultAction default_action(int sig);

// The kernel's struct sigaction (rt_sigaction(2)).
struct SignalAction {
  uint64_t handler = 0;  // SIG_DFL is 0, SIG_IGN is 1.
  uint64_t flags = 0;
  uint64_t restorer = 0;
  SignalSet mask = 0;
  bool is_default() const { return handler == 0; }
  bool is_ignore() const { return handler == 1; }
  USK_FIELDS(handler, flags, restorer, mask)
};

// Actions of a process; shared by tasks made with CLONE_SIGHAND. Guarded by task_mutex.
class SignalHandlers final : public RefCounted {
 public:
  SignalAction& of(int sig) { return actions_[size_t(sig - 1)]; }
  Ref<SignalHandlers> clone() const;
  // execve(2): handlers become default; ignored stay ignored.
  void reset_for_exec();
  USK_FIELDS(actions_)

 private:
  std::array<SignalAction, kSignals> actions_;
};

// Signals that wait for delivery, to a task or to a thread group. A standard signal is queued
// once, a real-time one each time.
class PendingSignals {
 public:
  SignalSet set() const { return set_; }
  bool has(int sig) const { return set_ & signal_bit(sig); }
  size_t size() const { return queue_.size(); }
  // `with_info` false: only the bit is set (the queue is full); what is delivered then looks
  // like kill(2) from nobody, as on Linux.
  void add(const siginfo_t& info, bool with_info = true);
  // The first of the lowest signal of `allowed`; synchronous ones before others.
  std::optional<siginfo_t> take(SignalSet allowed);
  // The processor's faults, and what was made to look like one, go first, as they came.
  std::optional<siginfo_t> take_fault(SignalSet allowed);
  void discard(SignalSet which);
  // Removes a queued signal of a timer that was deleted or is to be counted anew.
  bool has_timer(int sig, int timer_id) const;
  const std::deque<siginfo_t>& queue() const { return queue_; }
  USK_FIELDS(set_, queue_)

 private:
  siginfo_t remove(std::deque<siginfo_t>::iterator at);
  SignalSet set_ = 0;
  std::deque<siginfo_t> queue_;
};

// Whether a signal is meant for one task or for any thread of its group.
enum class SignalScope : uint8_t { kTask, kGroup };

// siginfo_t of a signal from the kernel itself, or sent by a process.
siginfo_t kernel_siginfo(int sig);
siginfo_t user_siginfo(int sig, int code, int pid, uint32_t uid);
siginfo_t fault_siginfo(int sig, int code, uint64_t addr);

}  // namespace usk
