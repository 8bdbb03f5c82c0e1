// Timers of a process: setitimer(2), timer_create(2), alarm(2), and CPU-time clocks.
#pragma once
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include <map>

#include "kernel/task/thread_group.h"

namespace usk {

class Kernel;

// An interval timer on some clock: first expiry and period in nanoseconds; 0 is off.
struct TimerSetting {
  int64_t value = 0;  // Left until the next expiry.
  int64_t interval = 0;
};

class PosixTimers {
 public:
  PosixTimers(Kernel& kernel, ThreadGroup& group);
  ~PosixTimers();
  static OrFailure<std::unique_ptr<PosixTimers>> make_saved(state::Fields& in);
  // Arms them again.
  OrFailure<void> restored(state::Restored&);

  // setitimer(2): which is ITIMER_REAL, ITIMER_VIRTUAL or ITIMER_PROF. Returns the old setting.
  TimerSetting set_interval_timer(int which, TimerSetting setting) EXCLUDES(mu_, task_mutex);
  TimerSetting interval_timer(int which) EXCLUDES(mu_, task_mutex);

  // RLIMIT_CPU in seconds: SIGXCPU at the soft limit and each second after it, SIGKILL at the hard.
  void set_cpu_limit(uint64_t soft, uint64_t hard) EXCLUDES(mu_, task_mutex);

  // timer_create(2): EAGAIN when there are too many.
  Result<int> create(clockid_t clock, const sigevent& event, Ref<Pid> target) EXCLUDES(mu_);
  void set_value(int id, sigval value) EXCLUDES(mu_);
  Result<TimerSetting> settime(int id, int flags, TimerSetting setting) EXCLUDES(mu_, task_mutex);
  Result<TimerSetting> gettime(int id) EXCLUDES(mu_, task_mutex);
  Result<int> overrun(int id) EXCLUDES(mu_);
  Result<void> remove(int id) EXCLUDES(mu_);

  // A timer's signal is delivered: the overruns it stands for are fixed.
  // Returns them.
  int delivered(int id) EXCLUDES(mu_);
  // execve(2) deletes created timers, keeps interval timers; exit deletes all.
  void reset_for_exec() EXCLUDES(mu_);
  void clear() EXCLUDES(mu_);

  struct Timer;

 private:
  class Alarm;
  int64_t now(const Timer& timer) const EXCLUDES(task_mutex);
  void arm(Timer& timer) REQUIRES(mu_) EXCLUDES(task_mutex);
  TimerSetting current(const Timer& timer) REQUIRES(mu_) EXCLUDES(task_mutex);
  void set_locked(Timer& timer, TimerSetting setting, bool absolute) REQUIRES(mu_)
      EXCLUDES(task_mutex);
  void expired(Timer& timer) EXCLUDES(mu_, task_mutex);
  std::shared_ptr<Timer> find(int id) REQUIRES(mu_);

  static constexpr size_t kMaxTimers = 4096;
  Kernel& kernel_;
  ThreadGroup& group_;
  Mutex<Rank::kFdTable> mu_;
  std::map<int, std::shared_ptr<Timer>> timers_ GUARDED_BY(mu_);
  std::shared_ptr<Timer> intervals_[3] GUARDED_BY(mu_);
  std::shared_ptr<Timer> cpu_limit_ GUARDED_BY(mu_);
  uint64_t hard_cpu_limit_ GUARDED_BY(mu_) = UINT64_MAX;  // Seconds.
  int next_id_ GUARDED_BY(mu_) = 0;

 public:
  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    ThreadGroup* const group = &group_;
    ar.all("group, timers_, intervals_, cpu_limit_, hard_cpu_limit_, next_id_", group, timers_,
           intervals_, cpu_limit_, hard_cpu_limit_, next_id_);
  }
};

}  // namespace usk
