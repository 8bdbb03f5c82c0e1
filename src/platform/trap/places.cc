// Where the guest's threads run. Whoever is woken by a hand-over comes to the waker, and the host
// looks for idle processors only now and then: for milliseconds two threads might share one.
#include <algorithm>

#include "host/cpu.h"
#include "host/process.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

using namespace host;

namespace {

cpu_set_t only(uint32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  return set;
}

bool allows(const cpu_set_t& set, uint32_t cpu) {
  return cpu < CPU_SETSIZE && CPU_ISSET(cpu, &set);
}

void take_out(cpu_set_t& set, uint32_t cpu) {
  if (cpu < CPU_SETSIZE) CPU_CLR(cpu, &set);
}

uint32_t first_of(const cpu_set_t& set) {
  uint32_t cpu = 0;
  while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &set)) cpu++;
  return cpu;
}

}  // namespace

bool TrapPlatform::keep_off(TrapThread& t) {
  if (crowded_ && t.is_kept_off()) return true;
  cpu_set_t others = t.affinity();
  const uint32_t own = current_cpu();
  take_out(others, own);
  if (CPU_COUNT(&others) == 0 || !t.confine(others)) return false;
  if (!t.is_kept_off()) kept_off_.push_back(&t);
  t.set_kept_off(true);
  if (t.cpu() == own) t.set_cpu(first_of(others));
  count.threads_kept_off++;
  return true;
}

// The host would leave them all on one processor for milliseconds.
void TrapPlatform::let_run_anywhere(bool leaves) {
  const auto crowds = [&](TrapThread* t) {
    return t->state() == TrapThread::State::kRunning && !t->sleeps() && runs_at(t->cpu(), *t);
  };
  const uint32_t own = current_cpu();
  const auto comes = leaves ? std::ranges::find_if(kept_off_, crowds) : kept_off_.end();
  if (comes != kept_off_.end() && allows((*comes)->affinity(), own) &&
      (*comes)->confine(only(own))) {
    (*comes)->set_cpu(own);
    count.threads_moved++;
  }
  for (TrapThread* t : std::exchange(kept_off_, {})) {
    t->set_kept_off(false);
    (void)t->confine(t->affinity());
  }
}

TrapThread* TrapPlatform::runs_at(uint32_t cpu, const TrapThread& but) const {
  const auto t = std::ranges::find_if(running_, [&](TrapThread* other) {
    return other != &but && other->cpu() == cpu && !other->sleeps();
  });
  return t == running_.end() ? nullptr : *t;
}

void TrapPlatform::set_hand_over(bool on) {
  if (on == hands_over_) return;
  hands_over_ = on;
  listener_.set_hand_over(on);
  count.hand_over_changes++;
}

void TrapPlatform::answer(TrapThread& t) {
  if (polling_) {  // It keeps its processor to itself.
    set_hand_over(false);
    return t.answer_notice();
  }
  using Place = HandOff::Place;
  const uint32_t own = current_cpu(), its = t.cpu();
  TrapThread* const here = runs_at(own, t);
  const HandOff::Others others{awake() > 1, here != nullptr, runs_at(its, t) != nullptr};
  const Place place = HandOff::place(its, own, others);
  set_hand_over(place == Place::kComes);
  const bool moves = place == Place::kLeaves && is_still_at(own, *here) && move_on(t);
  t.answer_notice();
  if (place == Place::kComes) t.set_cpu(own);
  if (moves) (void)t.confine(t.affinity());
}

bool TrapPlatform::is_still_at(uint32_t cpu, TrapThread& t) {
  constexpr int64_t kLookEveryNs = 50'000;
  if (awake() > size_t(CPU_COUNT(&processors_))) return false;  // Some must share one.
  const int64_t now = clock();
  if (now - places_seen_at_ < kLookEveryNs) return false;
  places_seen_at_ = now;
  const auto state = thread_state(t.tid());
  if (!state) return false;
  t.set_cpu(state->cpu);
  return state->state == 'R' && state->cpu == cpu;
}

bool TrapPlatform::move_on(TrapThread& t) {
  cpu_set_t free = t.affinity();
  take_out(free, current_cpu());
  for (TrapThread* other : running_) {
    if (other != &t && !other->sleeps()) take_out(free, other->cpu());
  }
  if (CPU_COUNT(&free) == 0 || !t.confine(free)) return false;
  t.set_cpu(first_of(free));
  count.threads_moved++;
  return true;
}

}  // namespace usk::platform
