// alarm(2), getitimer(2), setitimer(2), timer_create(2) and its family.
#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "kernel/time/posix_timers.h"
#include "syscalls/time_args.h"

namespace usk {
Result<int64_t> read_clock(Task& t, int32_t clock);
}

namespace usk::sys {
namespace {

Result<int64_t> to_ns(const timeval& tv) {
  if (tv.tv_sec < 0 || tv.tv_usec < 0 || tv.tv_usec > 999999) return Err(EINVAL);
  return usk::to_ns({tv.tv_sec, tv.tv_usec * 1000});
}
timeval to_timeval(int64_t ns) { return {ns / kNsPerSecond, ns % kNsPerSecond / 1000}; }
timespec to_timespec(int64_t ns) { return {ns / kNsPerSecond, ns % kNsPerSecond}; }

itimerval to_itimerval(const TimerSetting& s) {
  // What is left is never shown as zero while the timer runs.
  return {to_timeval(s.interval), to_timeval(s.value ? std::max<int64_t>(s.value, 1000) : 0)};
}

}  // namespace

SyscallResult alarm(Task& t, uint32_t seconds) {
  const TimerSetting old =
      t.group->timers->set_interval_timer(ITIMER_REAL, {int64_t(seconds) * kNsPerSecond, 0});
  // Rounded to seconds, but a running alarm is never reported as none.
  const int64_t left = (old.value + kNsPerSecond / 2) / kNsPerSecond;
  return old.value && left == 0 ? 1 : left;
}

SyscallResult getitimer(Task& t, int32_t which, UserPtr<itimerval> value) {
  if (which < ITIMER_REAL || which > ITIMER_PROF) return Err(EINVAL);
  TRY(t.mem().put(value, to_itimerval(t.group->timers->interval_timer(which))));
  return 0;
}

SyscallResult setitimer(Task& t, int32_t which, UserPtr<const itimerval> value,
                        UserPtr<itimerval> old) {
  if (which < ITIMER_REAL || which > ITIMER_PROF) return Err(EINVAL);
  TimerSetting next;
  if (value) {  // Linux: a null pointer means zero.
    const itimerval v = TRY(t.mem().get(value));
    next = {TRY(to_ns(v.it_value)), TRY(to_ns(v.it_interval))};
  }
  const TimerSetting was = t.group->timers->set_interval_timer(which, next);
  if (old) TRY(t.mem().put(old, to_itimerval(was)));
  return 0;
}

SyscallResult timer_create(Task& t, int32_t clock, UserPtr<const sigevent> event,
                           UserPtr<int32_t> id) {
  TRY(read_clock(t, clock));
  if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
      clock == CLOCK_MONOTONIC_COARSE) {
    return Err(EOPNOTSUPP);
  }
  if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) &&
      !t.creds->capable_in_root(35 /* CAP_WAKE_ALARM */)) {
    return Err(EPERM);
  }
  sigevent e{};
  e.sigev_notify = SIGEV_SIGNAL;
  e.sigev_signo = SIGALRM;
  if (event) e = TRY(t.mem().get(event));
  Ref<Pid> target;
  if (e.sigev_notify != SIGEV_NONE) {
    if (e.sigev_notify != SIGEV_SIGNAL && e.sigev_notify != SIGEV_THREAD_ID) return Err(EINVAL);
    if (e.sigev_signo < 1 || e.sigev_signo > kSignals) return Err(EINVAL);
    if (e.sigev_notify == SIGEV_THREAD_ID) {
      Lock lock(task_mutex);
      target = t.pid_ns().find(e._sigev_un._tid);
      if (!target || !target->task || target->task->group.get() != t.group.get())
        return Err(EINVAL);
    }
  }
  const int n = TRY(t.group->timers->create(clock, e, target));
  if (!event) {
    // The default event carries the timer's number.
    e.sigev_value.sival_int = n;
    t.group->timers->set_value(n, e.sigev_value);
  }
  if (auto ok = t.mem().put(id, n); !ok) {
    (void)t.group->timers->remove(n);
    return std::unexpected(ok.error());
  }
  return 0;
}

SyscallResult timer_settime(Task& t, int32_t id, int32_t flags, UserPtr<const itimerspec> value,
                            UserPtr<itimerspec> old) {
  if (!value) return Err(EINVAL);
  const itimerspec v = TRY(t.mem().get(value));
  TimerSetting next;
  next.value = TRY(usk::to_ns({v.it_value.tv_sec, v.it_value.tv_nsec}));
  next.interval = TRY(usk::to_ns({v.it_interval.tv_sec, v.it_interval.tv_nsec}));
  const TimerSetting was = TRY(t.group->timers->settime(id, flags, next));
  if (old) TRY(t.mem().put(old, {to_timespec(was.interval), to_timespec(was.value)}));
  return 0;
}

SyscallResult timer_gettime(Task& t, int32_t id, UserPtr<itimerspec> value) {
  const TimerSetting s = TRY(t.group->timers->gettime(id));
  TRY(t.mem().put(value, {to_timespec(s.interval), to_timespec(s.value)}));
  return 0;
}

SyscallResult timer_getoverrun(Task& t, int32_t id) { return TRY(t.group->timers->overrun(id)); }

SyscallResult timer_delete(Task& t, int32_t id) {
  TRY(t.group->timers->remove(id));
  return 0;
}

}  // namespace usk::sys
