#include "fs/anon/timerfd.h"

#include <linux/capability.h>
#include <sys/ioctl.h>

#include "fs/anon/timerfd_core.h"
#include "fs/vfs/caller.h"
#include "fs/vfs/saving.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

namespace usk {
namespace {

// Tells a timer that CLOCK_REALTIME was set.
class ClockWatch final : public Waiter {
 public:
  explicit ClockWatch(Ref<TimerFdCore> core) : core_(std::move(core)) {}
  void notify(PollMask) override { core_->clock_set(); }

 private:
  Ref<TimerFdCore> core_;
};

bool is_valid(const timespec& t) {
  return t.tv_sec >= 0 && t.tv_nsec >= 0 && t.tv_nsec < kNsPerSecond;
}

}  // namespace

USK_SAVED(TimerFd, "fs/anon/timerfd")
USK_SAVED(TimerFdCore, "fs/anon/timerfd-core")

Result<Ref<TimerFd>> TimerFd::make(clockid_t clock, int flags, Ref<const Creds> creds) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME: break;
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
      if (!creds->capable_in_root(CAP_WAKE_ALARM)) return Err(EPERM);
      break;
    default: return Err(EINVAL);
  }
  return Ref<TimerFd>::adopt(new TimerFd(clock, flags, std::move(creds)));
}

TimerFd::TimerFd(clockid_t clock, int flags, Ref<const Creds> creds)
    : AnonFile("[timerfd]", O_RDWR | flags, std::move(creds)),
      core_(make_ref<TimerFdCore>(clock)) {}

TimerFd::TimerFd(Blank b) : AnonFile(b) {}

TimerFd::~TimerFd() {
  if (clock_watch_) timer_service().clock_set_queue().remove(clock_watch_.get());
  core_->stop();
}

Result<TimerFd::Set> TimerFd::settime(const Creds& creds, int flags, const itimerspec& value) {
  if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) return Err(EINVAL);
  if (!is_valid(value.it_value) || !is_valid(value.it_interval)) return Err(EINVAL);
  if (core_->is_alarm() && !creds.capable_in_root(CAP_WAKE_ALARM)) return Err(EPERM);
  if ((flags & TFD_TIMER_CANCEL_ON_SET) && !clock_watch_) {
    clock_watch_ = make_ref<ClockWatch>(core_);
    timer_service().clock_set_queue().add(clock_watch_, POLLIN);
  }
  const TimerFdCore::Set set = core_->set(flags, value);
  return Set{set.before, set.cancelled};
}

itimerspec TimerFd::gettime() { return core_->get(); }

Result<size_t> TimerFd::read(IoOut& dst, uint64_t&) {
  if (dst.size() < sizeof(uint64_t)) return Err(EINVAL);
  const uint64_t ticks = TRY(core_->take());
  // Linux: they are lost as well when the copy faults.
  if (TRY(dst.put_object(ticks)) != sizeof ticks) return Err(EFAULT);
  return sizeof ticks;
}

PollMask TimerFd::poll() { return core_->has_ticks() ? POLLIN : 0; }

WaitQueue& TimerFd::queue() { return core_->queue(); }

Result<int64_t> TimerFd::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  if (cmd != TFD_IOC_SET_TICKS) return Err(ENOTTY);
  const auto ticks = TRY(caller.get<uint64_t>(arg));
  if (ticks == 0) return Err(EINVAL);
  TRY(core_->set_ticks(ticks));
  return 0;
}

std::string TimerFd::fdinfo() const { return core_->fdinfo(); }

OrFailure<void> TimerFd::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!core_ || !core_->is_valid()) return fail("no timer");
  clock_watch_ = make_ref<ClockWatch>(core_);
  timer_service().clock_set_queue().add(clock_watch_, POLLIN);
  core_->rearm();
  return {};
}

}  // namespace usk
