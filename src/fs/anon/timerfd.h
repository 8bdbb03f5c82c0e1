// timerfd_create(2)
#pragma once
#include <sys/timerfd.h>

#include "base/timer.h"
#include "fs/anon/anon_file.h"

namespace usk {

class TimerFdCore;

// A timer whose expirations are counted and read. Between an expiration and the next read or
// look at it a periodic timer rests: the missed periods are reckoned then (as Linux does).
class TimerFd final : public AnonFile {
 public:
  // EINVAL for a clock that timers cannot have; EPERM for an alarm clock without CAP_WAKE_ALARM.
  static Result<Ref<TimerFd>> make(clockid_t clock, int flags, Ref<const Creds> creds);
  explicit TimerFd(Blank b);
  ~TimerFd() override;

  // timerfd_settime(2); returns what was set before. ECANCELED (and the timer is set): the clock
  // was set since a TFD_TIMER_CANCEL_ON_SET timer was last read.
  struct Set {
    itimerspec before;
    bool cancelled;
  };
  Result<Set> settime(const Creds& creds, int flags, const itimerspec& value);
  itimerspec gettime();

  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  PollMask poll() override;
  WaitQueue& queue() override;
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  std::string fdinfo() const override;

  USK_FIELDS_OF(File, core_)
  // Arms the timer and listens for changes of the clock again.
  OrFailure<void> restored(state::Restored& r);

 private:
  TimerFd(clockid_t clock, int flags, Ref<const Creds> creds);

  Ref<TimerFdCore> core_;
  Ref<Waiter> clock_watch_;
};

}  // namespace usk
