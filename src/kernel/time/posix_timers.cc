#include "kernel/time/posix_timers.h"

#include <limits.h>
#include <string.h>

#include "base/saturate.h"
#include "fs/vfs/saving.h"
#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "kernel/task/exit.h"

namespace usk {
namespace {

constexpr clockid_t kVirtual = -100, kProf = -101;  // ITIMER_VIRTUAL and ITIMER_PROF.

bool is_cpu_clock(clockid_t clock) {
  return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

}  // namespace

struct PosixTimers::Timer {
  int id = -1;
  clockid_t clock = CLOCK_REALTIME;
  sigevent event{};
  Ref<Pid> target;  // SIGEV_THREAD_ID
  Ref<TimerClient> alarm;
  int64_t next = 0;  // On `clock`; 0: not armed.
  int64_t interval = 0;
  int pending_overruns = 0;
  int last_overrun = 0;
  bool deleted = false;
  template <class A>
  void fields(A& ar) {
    uint64_t value = reinterpret_cast<uint64_t>(event.sigev_value.sival_ptr);
    ar.all(
        "id, clock, signal, notify, value, target, next, interval, pending_overruns, "
        "last_overrun, deleted",
        id, clock, event.sigev_signo, event.sigev_notify, value, target, next, interval,
        pending_overruns, last_overrun, deleted);
    if constexpr (A::kLoading) event.sigev_value.sival_ptr = reinterpret_cast<void*>(value);
  }
};

class PosixTimers::Alarm final : public TimerClient {
 public:
  Alarm(std::weak_ptr<PosixTimers> owner, std::weak_ptr<Timer> timer)
      : owner_(std::move(owner)), timer_(std::move(timer)) {}
  void expired() override {
    auto owner = owner_.lock();
    auto timer = timer_.lock();
    if (owner && timer) owner->expired(*timer);
  }

 private:
  std::weak_ptr<PosixTimers> owner_;
  std::weak_ptr<Timer> timer_;
};

PosixTimers::PosixTimers(Kernel& kernel, ThreadGroup& group) : kernel_(kernel), group_(group) {}
PosixTimers::~PosixTimers() = default;

int64_t PosixTimers::now(const Timer& timer) const {
  if (!is_cpu_clock(timer.clock)) return kernel_.time.now(timer.clock);
  Lock lock(task_mutex);
  const Usage u = group_usage(group_);
  return timer.clock == kVirtual ? u.user_ns : u.user_ns + u.system_ns;
}

void PosixTimers::arm(Timer& timer) {
  if (!timer.alarm) return;
  if (timer.next == 0) {
    kernel_.time.disarm(*timer.alarm);
  } else if (is_cpu_clock(timer.clock)) {
    // CPU time cannot pass faster than the clock on the wall times the running threads: look
    // again when it could have expired, at most every millisecond.
    const int64_t left = std::max<int64_t>(timer.next - now(timer), 0);
    const int64_t threads = std::max<int64_t>(1, int64_t(group_.tasks.size()));
    const int64_t wait = std::max<int64_t>(left / threads, 1000000);
    kernel_.time.arm(timer.alarm, CLOCK_MONOTONIC, kernel_.time.monotonic() + wait);
  } else {
    const bool real = timer.clock == CLOCK_REALTIME || timer.clock == CLOCK_REALTIME_ALARM;
    kernel_.time.arm(timer.alarm, real ? CLOCK_REALTIME : CLOCK_MONOTONIC, timer.next);
  }
}

TimerSetting PosixTimers::current(const Timer& timer) {
  if (timer.next == 0) return {0, timer.interval};
  int64_t left = timer.next - now(timer);
  if (left <= 0 && timer.interval > 0) left = timer.interval - (-left % timer.interval);
  return {std::max<int64_t>(left, 1), timer.interval};
}

void PosixTimers::set_locked(Timer& timer, TimerSetting s, bool absolute) {
  timer.interval = s.value ? s.interval : 0;
  timer.pending_overruns = timer.last_overrun = 0;
  timer.next = 0;
  if (s.value) {
    timer.next = absolute ? s.value : saturating_add(now(timer), s.value);
    if (timer.next <= 0) timer.next = 1;
  }
  arm(timer);
}

// Counts how often it expired since, sends one signal for all of them.
void PosixTimers::expired(Timer& timer) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  Ref<Pid> target;
  bool over_hard = false;
  {
    Lock lock(mu_);
    if (timer.next == 0 || timer.deleted) return;
    const int64_t late = now(timer) - timer.next;
    if (late < 0) return arm(timer);  // A CPU clock that has not got there yet.
    int64_t extra = 0;
    if (timer.interval > 0) {
      extra = late / timer.interval;
      timer.next += (extra + 1) * timer.interval;
    } else {
      timer.next = 0;
    }
    arm(timer);
    timer.pending_overruns = int(std::min<int64_t>(INT_MAX, timer.pending_overruns + extra));
    if (timer.event.sigev_notify == SIGEV_NONE) return;
    info.si_signo = timer.event.sigev_signo;
    if (timer.id < 0) {
      info.si_code = SI_KERNEL;
    } else {
      info.si_code = SI_TIMER;
      info.si_timerid = timer.id;
      info.si_overrun = timer.pending_overruns;
      info.si_value = timer.event.sigev_value;
    }
    target = timer.target;
    over_hard = &timer == cpu_limit_.get() && hard_cpu_limit_ != UINT64_MAX &&
                now(timer) / kNsPerSecond >= int64_t(hard_cpu_limit_);
  }
  Lock lock(task_mutex);
  if (over_hard) return begin_group_exit(group_, SIGKILL);
  if (group_.tasks.empty() || group_.zombie) return;
  Task* thread = target ? target->task : nullptr;
  if (target && !thread) return;
  PendingSignals& queue = thread ? thread->pending : group_.pending;
  if (timer.id >= 0 && queue.has_timer(info.si_signo, timer.id)) {
    timer.pending_overruns++;  // Still waits for delivery: one more overrun.
    return;
  }
  if (thread) {
    (void)send_signal(*thread, info, SignalScope::kTask);
  } else {
    (void)send_group_signal(group_, info);
  }
}

TimerSetting PosixTimers::set_interval_timer(int which, TimerSetting setting) {
  Lock lock(mu_);
  auto& timer = intervals_[which];
  if (!timer) {
    static constexpr int kSignal[] = {SIGALRM, SIGVTALRM, SIGPROF};
    static constexpr clockid_t kClock[] = {CLOCK_MONOTONIC, kVirtual, kProf};
    timer = std::make_shared<Timer>();
    timer->clock = kClock[which];
    timer->event.sigev_notify = SIGEV_SIGNAL;
    timer->event.sigev_signo = kSignal[which];
    timer->alarm = make_ref<Alarm>(group_.timers, timer);
  }
  const TimerSetting old = current(*timer);
  set_locked(*timer, setting, false);
  return timer->next || old.value ? old : TimerSetting{};
}

TimerSetting PosixTimers::interval_timer(int which) {
  Lock lock(mu_);
  auto& timer = intervals_[which];
  return timer ? current(*timer) : TimerSetting{};
}

void PosixTimers::set_cpu_limit(uint64_t soft, uint64_t hard) {
  Lock lock(mu_);
  hard_cpu_limit_ = hard;
  if (!cpu_limit_) {
    if (soft == UINT64_MAX) return;
    cpu_limit_ = std::make_shared<Timer>();
    cpu_limit_->clock = kProf;
    cpu_limit_->event.sigev_notify = SIGEV_SIGNAL;
    cpu_limit_->event.sigev_signo = SIGXCPU;
    cpu_limit_->alarm = make_ref<Alarm>(group_.timers, cpu_limit_);
  }
  const bool unlimited = soft >= uint64_t(INT64_MAX / kNsPerSecond);
  const int64_t at = std::max<int64_t>(1, unlimited ? 0 : int64_t(soft) * kNsPerSecond);
  set_locked(*cpu_limit_, unlimited ? TimerSetting{} : TimerSetting{at, kNsPerSecond}, true);
}

Result<int> PosixTimers::create(clockid_t clock, const sigevent& event, Ref<Pid> target) {
  Lock lock(mu_);
  if (timers_.size() >= kMaxTimers) return Err(EAGAIN);
  auto timer = std::make_shared<Timer>();
  timer->id = next_id_;
  next_id_ = next_id_ == INT_MAX ? 0 : next_id_ + 1;
  timer->clock = clock;
  timer->event = event;
  timer->target = std::move(target);
  timer->alarm = make_ref<Alarm>(group_.timers, timer);
  timers_[timer->id] = timer;
  return timer->id;
}

std::shared_ptr<PosixTimers::Timer> PosixTimers::find(int id) {
  auto it = timers_.find(id);
  return it == timers_.end() ? nullptr : it->second;
}

void PosixTimers::set_value(int id, sigval value) {
  Lock lock(mu_);
  if (auto timer = find(id)) timer->event.sigev_value = value;
}

Result<TimerSetting> PosixTimers::settime(int id, int flags, TimerSetting setting) {
  Lock lock(mu_);
  auto timer = find(id);
  if (!timer) return Err(EINVAL);
  const TimerSetting old = current(*timer);
  set_locked(*timer, setting, flags & TIMER_ABSTIME);
  return old;
}

Result<TimerSetting> PosixTimers::gettime(int id) {
  Lock lock(mu_);
  auto timer = find(id);
  if (!timer) return Err(EINVAL);
  return current(*timer);
}

Result<int> PosixTimers::overrun(int id) {
  Lock lock(mu_);
  auto timer = find(id);
  if (!timer) return Err(EINVAL);
  return timer->last_overrun;
}

Result<void> PosixTimers::remove(int id) {
  std::shared_ptr<Timer> timer;
  Lock lock(mu_);
  timer = find(id);
  if (!timer) return Err(EINVAL);
  timer->deleted = true;
  timer->next = 0;
  kernel_.time.disarm(*timer->alarm);
  timers_.erase(id);
  return {};
}

int PosixTimers::delivered(int id) {
  Lock lock(mu_);
  auto timer = find(id);
  if (!timer) return 0;
  return timer->last_overrun = std::exchange(timer->pending_overruns, 0);
}

void PosixTimers::reset_for_exec() {
  Lock lock(mu_);
  for (auto& [id, timer] : timers_) {
    timer->deleted = true;
    kernel_.time.disarm(*timer->alarm);
  }
  timers_.clear();
}

void PosixTimers::clear() {
  reset_for_exec();
  Lock lock(mu_);
  for (auto& timer : intervals_) {
    if (timer) kernel_.time.disarm(*timer->alarm);
    timer.reset();
  }
  if (cpu_limit_) kernel_.time.disarm(*cpu_limit_->alarm);
  cpu_limit_.reset();
}

using SavedTimer = PosixTimers::Timer;
USK_SAVED(PosixTimers, "kernel/posix_timers")
USK_SAVED(SavedTimer, "kernel/posix_timer")

OrFailure<std::unique_ptr<PosixTimers>> PosixTimers::make_saved(state::Fields& in) {
  return std::make_unique<PosixTimers>(*TRY(in.services().get<Kernel>()),
                                       *TRY(in.ref<ThreadGroup>("group")));
}

OrFailure<void> PosixTimers::restored(state::Restored&) {
  if (group_.timers.get() != this) return fail("timers of another process");
  auto start = [this](const std::shared_ptr<Timer>& timer) NO_THREAD_SAFETY_ANALYSIS {
    if (!timer) return;
    timer->alarm = make_ref<Alarm>(group_.timers, timer);
    arm(*timer);
  };
  Lock lock(mu_);
  for (auto& [id, timer] : timers_) {
    if (!timer) return fail("no timer where one is named");
    start(timer);
  }
  for (auto& timer : intervals_) start(timer);
  start(cpu_limit_);
  return {};
}

}  // namespace usk
