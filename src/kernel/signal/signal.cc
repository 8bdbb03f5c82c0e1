#include "kernel/signal/signal.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace usk {

DefaultAction default_action(int sig) {
  switch (sig) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH: return DefaultAction::kIgnore;
    case SIGCONT: return DefaultAction::kContinue;
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU: return DefaultAction::kStop;
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS: return DefaultAction::kCore;
    default: return DefaultAction::kTerminate;
  }
}

Ref<SignalHandlers> SignalHandlers::clone() const {
  auto copy = make_ref<SignalHandlers>();
  copy->actions_ = actions_;
  return copy;
}

void SignalHandlers::reset_for_exec() {
  for (SignalAction& a : actions_) {
    const bool ignored = a.is_ignore();
    a = SignalAction{};
    if (ignored) a.handler = 1;
  }
}

void PendingSignals::add(const siginfo_t& info, bool with_info) {
  const int sig = info.si_signo;
  if (sig < kFirstRealtime && has(sig)) return;
  set_ |= signal_bit(sig);
  if (with_info) queue_.push_back(info);
}

std::optional<siginfo_t> PendingSignals::take(SignalSet allowed) {
  SignalSet ready = set_ & allowed;
  if (!ready) return std::nullopt;
  if (ready & kSynchronous) ready &= kSynchronous;
  const int sig = std::countr_zero(ready) + 1;
  auto first = std::find_if(queue_.begin(), queue_.end(),
                            [&](const siginfo_t& i) { return i.si_signo == sig; });
  if (first != queue_.end()) return remove(first);
  set_ &= ~signal_bit(sig);
  return user_siginfo(sig, SI_USER, 0, 0);
}

std::optional<siginfo_t> PendingSignals::take_fault(SignalSet allowed) {
  if (!(set_ & allowed & kSynchronous)) return std::nullopt;
  auto first = std::find_if(queue_.begin(), queue_.end(), [&](const siginfo_t& i) {
    return i.si_code > SI_USER && signal_bit(i.si_signo) & allowed & kSynchronous;
  });
  if (first == queue_.end()) return std::nullopt;
  return remove(first);
}

siginfo_t PendingSignals::remove(std::deque<siginfo_t>::iterator at) {
  const siginfo_t info = *at;
  queue_.erase(at);
  const bool more = std::any_of(queue_.begin(), queue_.end(),
                                [&](const siginfo_t& i) { return i.si_signo == info.si_signo; });
  if (!more) set_ &= ~signal_bit(info.si_signo);
  return info;
}

void PendingSignals::discard(SignalSet which) {
  if (!(set_ & which)) return;
  set_ &= ~which;
  std::erase_if(queue_, [&](const siginfo_t& i) { return which & signal_bit(i.si_signo); });
}

bool PendingSignals::has_timer(int sig, int timer_id) const {
  return std::any_of(queue_.begin(), queue_.end(), [&](const siginfo_t& i) {
    return i.si_signo == sig && i.si_code == SI_TIMER && i.si_timerid == timer_id;
  });
}

siginfo_t kernel_siginfo(int sig) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = sig;
  info.si_code = SI_KERNEL;
  return info;
}

siginfo_t user_siginfo(int sig, int code, int pid, uint32_t uid) {
  siginfo_t info = kernel_siginfo(sig);
  info.si_code = code;
  info.si_pid = pid;
  info.si_uid = uid;
  return info;
}

siginfo_t fault_siginfo(int sig, int code, uint64_t addr) {
  siginfo_t info = kernel_siginfo(sig);
  info.si_code = code;
  info.si_addr = reinterpret_cast<void*>(addr);
  return info;
}

}  // namespace usk
