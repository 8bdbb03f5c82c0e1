// How long a stub may take to obey.
#pragma once
#include <sys/types.h>

#include <cstdint>

namespace usk::platform {

// A stub that was given commands is busy in the host's kernel until it posts that they are done.
// One that sleeps instead, or computes, is in the hands of its guest. A busy machine excuses
// nothing but waiting for a processor, many notices nothing but that its own is behind them, and
// neither for ever.
class Patience {
 public:
  explicit Patience(pid_t tid);
  // When to look again, on the host's monotonic clock.
  int64_t until() const { return next_; }
  // After until(): whether it is to be waited for no longer. `quiet`: no notice is waiting.
  bool is_over(bool quiet);

 private:
  pid_t tid_;
  int64_t next_, busy_until_, give_up_;
  int asleep_ = 0;  // Looks that found it asleep, one after the other.
  uint64_t first_user_ticks_ = 0;
  bool looked_ = false;
};

}  // namespace usk::platform
