// Where the kernel process polls: never on the processor of the thread that it waits for.
#include "host/cpu.h"
#include "host/process.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

using namespace host;

// For a thread that has not posted since it was woken, which may have moved it.
bool TrapPlatform::is_beside_guest() {
  const uint32_t own = current_cpu();
  for (TrapThread* t : running_) {
    const auto state = thread_state(t->tid());
    if (state && state->state == 'R' && state->cpu == own) return true;
  }
  return false;
}

void TrapPlatform::choose_hand_over() {
  // A poller keeps its processor to itself.
  const bool on = !polling_ && hand_off_.hands_over(running_.size());
  if (on == hands_over_) return;
  hands_over_ = on;
  listener_.set_hand_over(on);
  count.hand_over_changes++;
}

// False: there is no other place, or it has not helped often enough.
bool TrapPlatform::get_apart() {
  constexpr uint64_t kFreeMoves = 4, kPostsForMove = 64;
  if (moves_ >= kFreeMoves + polled_ / kPostsForMove) return false;
  const uint32_t own = current_cpu();
  moves_++;
  if (!leave_cpu(own)) return false;
  beside_ = false;
  count.polls_moved++;
  areas_.policy().polling_cpu = current_cpu();
  return true;
}

// The scheduler moves threads, and stubs spin only for a poller on another processor. The guest's
// threads go before us.
void TrapPlatform::keep_polling_apart() {
  if (hand_off_.crowded(running_.size())) return stop_polling(HandOff::Stop::kCrowded);
  if (beside_ && !get_apart()) return stop_polling(HandOff::Stop::kShared);
  const uint32_t own = current_cpu();
  if (areas_.policy().polling_cpu != own) areas_.policy().polling_cpu = own;
}

// The end of a command comes soon, and so do the notices ahead of it, which nobody else hears.
void TrapPlatform::poll_for(TrapThread& t) {
  constexpr uint64_t kMostUs = 100;
  const uint64_t end = ticks() + kMostUs * ticks_per_us();
  while (!t.take_post() && t.state() != TrapThread::State::kLost && ticks() < end) {
    if (t.asks() || !expected_children_.empty()) {
      pump(-1, 0);
    } else {
      __builtin_ia32_pause();
    }
    if (t.state() == TrapThread::State::kStopped) return;
  }
}

bool TrapPlatform::await(TrapThread& t) {
  using State = TrapThread::State;
  TrapThread* const outer = std::exchange(awaited_, &t);
  if (polling_) poll_for(t);
  if (t.state() != State::kStopped) stop_polling(HandOff::Stop::kAwait);
  t.take_post();
  (void)wait_until(t, [&] { return t.state() == State::kStopped; });
  awaited_ = outer;
  return t.state() == State::kStopped;
}

}  // namespace usk::platform
