// Time and deadlines, as files see them: clock_gettime(2), timer_settime(2).
#pragma once
#include <time.h>

#include <cstdint>

#include "base/ref.h"
#include "base/wait.h"

namespace usk {

// Who is told that a deadline passed. expired() runs on any thread with no lock held, and may
// come once more after disarm(): the client looks at its own state.
class TimerClient : public RefCounted {
 public:
  virtual void expired() = 0;
};

// The guest's clocks. The kernel installs its own at boot; tests use FakeTimers.
class TimerService {
 public:
  virtual ~TimerService() = default;
  // CLOCK_REALTIME, CLOCK_MONOTONIC or CLOCK_BOOTTIME, in nanoseconds.
  virtual int64_t now(clockid_t clock) = 0;
  // Calls client->expired() once when now(clock) >= at. One deadline per client: arming again
  // replaces it. May be called with locks held up to Rank::kTimer.
  virtual void arm(Ref<TimerClient> client, clockid_t clock, int64_t at) = 0;
  virtual void disarm(TimerClient& client) = 0;
  // How often CLOCK_REALTIME was set; `clock_set_queue` is woken with POLLIN when it is.
  virtual uint64_t clock_set_count() = 0;
  virtual WaitQueue& clock_set_queue() = 0;
};

void set_timer_service(TimerService* service);
TimerService& timer_service();

constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace usk
