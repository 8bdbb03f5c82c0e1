// clock_gettime(2), clock_settime(2), clock_getres(2), gettimeofday(2), time(2), nanosleep(2),
// clock_nanosleep(2), restart_syscall(2).
#include <linux/capability.h>

#include "kernel/kernel.h"
#include "kernel/task/access.h"
#include "kernel/task/exit.h"
#include "state/saved.h"
#include "syscalls/time_args.h"

namespace usk {
namespace sys {
SyscallResult restart_poll(Task& t);
SyscallResult restart_futex(Task& t);
}  // namespace sys

// CPU time of the process or thread that a clock id names (clock_getcpuclockid(3)): the id holds
// the complement of a pid, a bit for threads and one of three kinds.
Result<int64_t> cpu_clock_ns(Task& t, int32_t clock) {
  if (clock == CLOCK_PROCESS_CPUTIME_ID) {
    Lock lock(task_mutex);
    const Usage u = group_usage(*t.group);
    return u.user_ns + u.system_ns;
  }
  if (clock == CLOCK_THREAD_CPUTIME_ID) {
    const Usage u = thread_usage(t);
    return u.user_ns + u.system_ns;
  }
  if ((clock & 3) == 3) return Err(EINVAL);
  const int pid = ~(clock >> 3);
  auto who = task_or_self(t, pid);
  if (!who) return Err(EINVAL);
  if (clock & 4) {
    if ((*who)->group.get() != t.group.get()) return Err(EINVAL);
    const Usage u = thread_usage(**who);
    return u.user_ns + u.system_ns;
  }
  Lock lock(task_mutex);
  const Usage u = group_usage(*(*who)->group);
  return u.user_ns + u.system_ns;
}

Result<int64_t> read_clock(Task& t, int32_t clock) {
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
    case CLOCK_TAI: return t.kernel.time.now(clock);
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID: return cpu_clock_ns(t, clock);
    default: break;
  }
  if (clock >= 0) return Err(EINVAL);
  return cpu_clock_ns(t, clock);
}

}  // namespace usk

namespace usk::sys {

SyscallResult clock_gettime(Task& t, int32_t clock, UserPtr<KernelTimespec> time) {
  TRY(t.mem().put(time, from_ns(TRY(read_clock(t, clock)))));
  return 0;
}

SyscallResult clock_settime(Task& t, int32_t clock, UserPtr<const KernelTimespec> time) {
  if (clock != CLOCK_REALTIME) return Err(EINVAL);
  const int64_t ns = TRY(to_ns(TRY(t.mem().get(time))));
  if (!t.creds->capable_in_root(CAP_SYS_TIME)) return Err(EPERM);
  t.kernel.time.set_realtime(ns);
  return 0;
}

SyscallResult clock_getres(Task& t, int32_t clock, UserPtr<KernelTimespec> resolution) {
  TRY(read_clock(t, clock));
  const bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
  if (resolution) TRY(t.mem().put(resolution, {0, coarse ? 4000000 : 1}));
  return 0;
}

SyscallResult gettimeofday(Task& t, UserPtr<timeval> tv, UserPtr<struct timezone> tz) {
  const int64_t now = t.kernel.time.now(CLOCK_REALTIME);
  if (tv) TRY(t.mem().put(tv, {now / kNsPerSecond, now % kNsPerSecond / 1000}));
  if (tz) TRY(t.mem().put(tz, {0, 0}));
  return 0;
}

SyscallResult settimeofday(Task& t, UserPtr<const timeval> tv, UserPtr<const struct timezone> tz) {
  if (!t.creds->capable_in_root(CAP_SYS_TIME)) return Err(EPERM);
  if (tz) TRY(t.mem().get(tz));
  if (!tv) return 0;
  const timeval v = TRY(t.mem().get(tv));
  if (v.tv_sec < 0 || v.tv_usec < 0 || v.tv_usec > 999999) return Err(EINVAL);
  t.kernel.time.set_realtime(TRY(to_ns({v.tv_sec, v.tv_usec * 1000})));
  return 0;
}

// The clock is the host's, which disciplines it: its state is told, not changed.
SyscallResult clock_adjtime(Task& t, int32_t clock, UserPtr<timex> state) {
  if (clock != CLOCK_REALTIME) return Err(clock < 0 ? EOPNOTSUPP : EINVAL);
  timex x = TRY(t.mem().get(state));
  constexpr unsigned kReadOnly = 0, kOldReadOnly = 0xa001;  // ADJ_OFFSET_SS_READ
  if (x.modes != kReadOnly && x.modes != kOldReadOnly) {
    if (!t.creds->capable_in_root(CAP_SYS_TIME)) return Err(EPERM);
    note_unsupported("adjtimex: changing the clock's rate");
    return Err(EPERM);
  }
  const int64_t now = t.kernel.time.now(CLOCK_REALTIME);
  const unsigned modes = x.modes;
  x = timex{};
  x.modes = modes;
  x.status = STA_UNSYNC;
  x.maxerror = x.esterror = 16000000;
  x.constant = 2;
  x.precision = 1;
  x.tolerance = 32768000;
  x.tick = 10000;
  x.time = {now / kNsPerSecond, now % kNsPerSecond / 1000};
  TRY(t.mem().put(state, x));
  return TIME_ERROR;  // As Linux answers for a clock that nobody synchronises.
}

SyscallResult adjtimex(Task& t, UserPtr<timex> state) {
  return clock_adjtime(t, CLOCK_REALTIME, state);
}

SyscallResult time(Task& t, UserPtr<int64_t> tloc) {
  const int64_t now = t.kernel.time.now(CLOCK_REALTIME) / kNsPerSecond;
  if (tloc) TRY(t.mem().put(tloc, now));
  return now;
}

namespace {

// Sleeps on CLOCK_MONOTONIC until t.frame.deadline; what is left goes to `left` when a signal
// comes.
SyscallResult sleep_until(Task& t, UserPtr<KernelTimespec> left, OnSignal on_signal) {
  if (t.timed_out()) return 0;
  bool interrupted;
  {
    Lock lock(task_mutex);
    interrupted = t.has_work();
  }
  if (interrupted && left) {
    const int64_t rest = std::max<int64_t>(0, t.frame.deadline->ns - t.kernel.time.monotonic());
    TRY(t.mem().put(left, from_ns(rest)));
  }
  if (on_signal == OnSignal::kRestartBlock) {
    t.restart = {
        .kind = RestartBlock::Kind::kNanosleep, .until = *t.frame.deadline, .args = {left.addr}};
  }
  return Block{*t.frame.deadline, on_signal};
}

class Waker final : public TimerClient {
 public:
  explicit Waker(Task& t) : task_(Ref<Task>::share(&t)) {}
  void expired() override { task_->kernel.scheduler.wake(*task_); }

 private:
  Ref<Task> task_;
};

// A clock other than the monotonic one: a timer on it wakes the task.
struct ClockSleep {
  Ref<TimerClient> timer;
  int64_t until = 0;
  ~ClockSleep() {
    if (timer) timer_service().disarm(*timer);
  }
  USK_FIELDS(until)  // The call arms its timer again.
};
USK_SAVED(ClockSleep, "syscalls/clock-sleep")

SyscallResult sleep_on_realtime(Task& t, int64_t until) {
  ClockSleep& s = t.extra<ClockSleep>();
  if (t.frame.first) s.until = until;
  if (t.kernel.time.now(CLOCK_REALTIME) >= s.until) return 0;
  if (!s.timer) s.timer = make_ref<Waker>(t);
  t.kernel.time.arm(s.timer, CLOCK_REALTIME, s.until);
  return Block{.on_signal = OnSignal::kNoHand};
}

// A CPU-time clock: looked at again when it could have got there.
SyscallResult sleep_on_cpu_clock(Task& t, int32_t clock, int64_t until) {
  const int64_t now = TRY(read_clock(t, clock));
  if (now >= until) return 0;
  const int64_t wait = std::max<int64_t>(until - now, 1000000);
  return Block{{t.kernel.time.monotonic() + wait}, OnSignal::kNoHand};
}

}  // namespace

SyscallResult nanosleep(Task& t, UserPtr<const KernelTimespec> request,
                        UserPtr<KernelTimespec> left) {
  if (t.frame.first) t.deadline(TRY(to_ns(TRY(t.mem().get(request)))));
  return sleep_until(t, left, OnSignal::kRestartBlock);
}

SyscallResult clock_nanosleep(Task& t, int32_t clock, int32_t flags,
                              UserPtr<const KernelTimespec> request, UserPtr<KernelTimespec> left) {
  const bool absolute = flags & TIMER_ABSTIME;
  if (clock == CLOCK_THREAD_CPUTIME_ID) return Err(EINVAL);
  if (clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_REALTIME_COARSE ||
      clock == CLOCK_MONOTONIC_COARSE) {
    return Err(EOPNOTSUPP);
  }
  if (clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) {
    if (!t.creds->capable_in_root(35 /* CAP_WAKE_ALARM */)) return Err(EPERM);
  }
  const int64_t now = TRY(read_clock(t, clock));
  int64_t& ns = t.extra<ClockSleep>().until;
  if (t.frame.first) ns = TRY(to_ns(TRY(t.mem().get(request))));
  if (clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID) {
    if (t.frame.first && !absolute) ns += now;
    return sleep_on_cpu_clock(t, clock, ns);
  }
  const bool realtime =
      clock == CLOCK_REALTIME || clock == CLOCK_TAI || clock == CLOCK_REALTIME_ALARM;
  if (absolute && realtime) return sleep_on_realtime(t, ns);
  if (!t.frame.deadline) {
    if (absolute) {
      t.frame.deadline = Deadline{ns};
    } else {
      t.deadline(ns);
    }
  }
  return sleep_until(t, absolute ? UserPtr<KernelTimespec>{} : left,
                     absolute ? OnSignal::kNoHand : OnSignal::kRestartBlock);
}

SyscallResult restart_syscall(Task& t) {
  switch (t.restart.kind) {
    case RestartBlock::Kind::kNanosleep:
      if (!t.frame.deadline) t.frame.deadline = t.restart.until;
      return sleep_until(t, {t.restart.args[0]}, OnSignal::kRestartBlock);
    case RestartBlock::Kind::kPoll: return restart_poll(t);
    case RestartBlock::Kind::kFutex: return restart_futex(t);
    case RestartBlock::Kind::kNone: break;
  }
  return Signalled{OnSignal::kInterrupt};
}

}  // namespace usk::sys
