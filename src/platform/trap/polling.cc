// Where the kernel process polls: never on the processor of the thread that it waits for.
#include "host/cpu.h"
#include "host/process.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

using namespace host;

// What the last post says may be old: whoever wakes a thread may have moved it. The host knows.
bool TrapPlatform::is_beside_guest() {
  const uint32_t own = current_cpu();
  for (TrapThread* t : running_) {
    const auto state = thread_state(t->tid());
    if (state && state->state == 'R' && state->cpu == own) return true;
  }
  return false;
}

// False: there is no other place, or it has not helped often enough.
bool TrapPlatform::get_apart() {
  constexpr uint64_t kFreeMoves = 4, kPostsForMove = 64;
  if (moves_ >= kFreeMoves + polled_ / kPostsForMove) return false;
  const uint32_t own = current_cpu();
  moves_++;
  if (!leave_cpu(own)) return false;
  count.polls_moved++;
  areas_.policy().polling_cpu = current_cpu();
  return true;
}

// The scheduler moves threads, and stubs spin only for a poller on another processor. The guest's
// threads go before us.
void TrapPlatform::keep_polling_apart() {
  if (hand_off_.crowded(running_.size())) return stop_polling(HandOff::Stop::kCrowded);
  const uint32_t own = current_cpu();
  if (own == last_cpu_ && is_beside_guest()) {
    if (!get_apart()) stop_polling(HandOff::Stop::kShared);
  } else if (areas_.policy().polling_cpu != own) {
    areas_.policy().polling_cpu = own;
  }
}

}  // namespace usk::platform
