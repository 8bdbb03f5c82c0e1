#include "platform/trap/patience.h"

#include "host/poll.h"
#include "host/process.h"

namespace usk::platform {
namespace {

constexpr int64_t kLookNs = 20'000'000, kGiveUpNs = 20'000'000'000;
// Every notice that waits has been heard by then: each thread has one at most, in turn.
constexpr int64_t kBusyNs = 3'000'000'000;
constexpr int kMaxAsleep = 3;
constexpr uint64_t kMaxUserTicks = 10;

}  // namespace

Patience::Patience(pid_t tid)
    : tid_(tid),
      next_(host::monotonic_now() + kLookNs),
      busy_until_(next_ + kBusyNs),
      give_up_(next_ + kGiveUpNs) {}

bool Patience::is_over(bool quiet) {
  const int64_t now = host::monotonic_now();
  if (now < next_ || (!quiet && now < busy_until_)) return false;
  next_ = now + kLookNs;
  if (now >= give_up_) return true;
  const auto state = host::thread_state(tid_);
  // Of a thread of ours the end would have been told.
  if (!state) return ++asleep_ >= kMaxAsleep;
  if (!looked_) first_user_ticks_ = state->user_ticks;
  looked_ = true;
  asleep_ = state->state == 'S' || state->state == 'T' ? asleep_ + 1 : 0;
  return asleep_ >= kMaxAsleep || state->user_ticks - first_user_ticks_ > kMaxUserTicks;
}

}  // namespace usk::platform
