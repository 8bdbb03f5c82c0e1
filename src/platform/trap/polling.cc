// Where the kernel process polls: never on the processor of the thread that it waits for.
#include <algorithm>

#include "host/cpu.h"
#include "host/process.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

using namespace host;

// For a thread that has not posted since it was woken, which may have moved it.
TrapThread* TrapPlatform::beside_guest() {
  const uint32_t own = current_cpu();
  for (TrapThread* t : running_) {
    if (t->sleeps()) continue;
    const auto state = thread_state(t->tid());
    if (state && state->state == 'R' && state->cpu == own) return t;
  }
  return nullptr;
}

size_t TrapPlatform::awake() const {
  return size_t(std::ranges::count_if(running_, [](TrapThread* t) { return !t->sleeps(); }));
}

size_t TrapPlatform::woken() const { return awake() - std::min(awake(), wakes_.size()); }

// For long enough that it is not just one thread that wakes another and sleeps.
bool TrapPlatform::is_crowded() {
  constexpr int64_t kLongNs = 600'000;
  const int64_t now = clock();
  if (!hand_off_.crowded(woken())) crowded_since_ = now;
  return now - crowded_since_ > kLongNs;
}

void TrapPlatform::sort_sleepers() {
  std::erase_if(asleep_, [this](TrapThread* t) {
    const bool wakes = !t->sleeps();
    if (wakes) running_.push_back(t);
    return wakes;
  });
  std::erase_if(running_, [this](TrapThread* t) {
    const bool sleeps = t->unwatch();
    if (sleeps) asleep_.push_back(t);
    return sleeps;
  });
}

// Who has posted by a notification sleeps until that is heard, whether or not the post was seen.
void TrapPlatform::crowd_together() {
  crowded_ = true;
  count.polls_crowded++;
  for (size_t n = running_.size() + posted_.size() + 1; n > 0; n--) {
    pump(-1, 0);
    if (quiet_) break;
  }
  for (TrapThread* t : running_) (void)keep_off(*t);
  for (TrapThread* t : asleep_) (void)keep_off(*t);
  for (TrapThread* t : posted_) (void)keep_off(*t);
  crowd_.begin(clock());
}

// The scheduler would let both go on sharing one processor. False: there is no other place, or it
// has not helped often enough.
bool TrapPlatform::get_apart(TrapThread& t) {
  constexpr uint64_t kFreeMoves = 4, kPostsForMove = 64;
  if (moves_ >= kFreeMoves + polled_ / kPostsForMove) return false;
  moves_++;
  if (!keep_off(t) && !leave_cpu(current_cpu())) return false;
  beside_ = nullptr;
  count.polls_moved++;
  areas_.policy().polling_cpu = current_cpu();
  return true;
}

// The scheduler moves threads, and stubs spin only for a poller on another processor. The guest's
// threads go before us.
void TrapPlatform::keep_polling_apart() {
  if (!crowded_ && is_crowded()) {
    if (!crowd_.should_poll(clock())) return stop_polling(HandOff::Stop::kCrowded);
    crowd_together();
  }
  if (beside_ && !get_apart(*beside_)) return stop_polling(HandOff::Stop::kShared);
  const uint32_t own = current_cpu();
  if (areas_.policy().polling_cpu == own) return;
  if (crowded_) return stop_polling(HandOff::Stop::kPreempted);
  areas_.policy().polling_cpu = own;
}

// A command's end is met sooner that way; who waits too long for one stops it again.
void TrapPlatform::begin_burst() {
  if (!polling_ && !hand_off_.crowded(awake() + 1)) start_polling(false);
}

// The end of a command comes soon, and so do the notices ahead of it, which nobody else hears.
void TrapPlatform::poll_for(TrapThread& t) {
  constexpr uint64_t kMostUs = 500, kMostCrowdedUs = 1000;
  const uint64_t end = ticks() + (crowded_ ? kMostCrowdedUs : kMostUs) * ticks_per_us();
  while (!t.take_post() && t.state() != TrapThread::State::kLost && ticks() < end) {
    look_at_wakes();
    if (t.asks() || !expected_children_.empty()) {
      pump(-1, 0);
    } else {
      __builtin_ia32_pause();
    }
    if (t.state() == TrapThread::State::kStopped) return;
  }
}

void TrapPlatform::wake(TrapThread& t, bool at_once) {
  count.orders_woken++;
  areas_.ring(t.index());
  wakes_.add(t.area(), t.index(), clock());
  count.wakes_by_guest = wakes_.asked();
  if (at_once || !polling_) wakes_.wake_all();
}

void TrapPlatform::look_at_wakes() {
  if (wakes_.empty()) return;
  wakes_.look(hand_off_.left_over(woken()), clock());
}

bool TrapPlatform::await(TrapThread& t) {
  using State = TrapThread::State;
  const bool outer = t.set_awaited(true);
  if (polling_) poll_for(t);
  if (t.state() != State::kStopped) stop_polling(HandOff::Stop::kAwait);
  t.take_post();
  (void)wait_until(t, [&] { return t.state() == State::kStopped; });
  t.set_awaited(outer);
  return t.state() == State::kStopped;
}

}  // namespace usk::platform
