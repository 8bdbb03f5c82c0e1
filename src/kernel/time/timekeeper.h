// The guest's clocks and the deadlines on them: clock_gettime(2), time_namespaces(7).
#pragma once
#include <atomic>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/fields.h"
#include "base/timer.h"
#include "kernel/time/time_page.h"

namespace usk {

// CLOCK_MONOTONIC and CLOCK_BOOTTIME are the host's monotonic clock plus an offset that a restore
// adjusts; CLOCK_REALTIME is the host's plus what the guest's clock_settime(2) changed.
class Timekeeper final : public TimerService {
 public:
  int64_t now(clockid_t clock) override;
  void arm(Ref<TimerClient> client, clockid_t clock, int64_t at) override EXCLUDES(mu_);
  void disarm(TimerClient& client) override EXCLUDES(mu_);
  uint64_t clock_set_count() override { return set_count_; }
  WaitQueue& clock_set_queue() override { return set_queue_; }

  int64_t monotonic() { return now(CLOCK_MONOTONIC); }
  void set_realtime(int64_t ns) EXCLUDES(mu_);
  // CLOCK_REALTIME has made a jump: whoever wants to know is told.
  void realtime_was_set();
  // CLOCK_REALTIME is that now, as if nobody had set it.
  void continue_realtime_at(int64_t ns);
  // Calls what has expired; returns the next deadline on the host's monotonic clock.
  Deadline expire() EXCLUDES(mu_);

  // Of CLOCK_MONOTONIC, and the same moment on the host's.
  Deadline to_host(Deadline d) const { return moved(d, -monotonic_offset_); }
  Deadline from_host(Deadline d) const { return moved(d, monotonic_offset_); }

  TimePage& page() { return page_; }

  struct Moment {
    int64_t monotonic = 0, realtime = 0;
    int64_t coarse = 0;  // CLOCK_MONOTONIC_COARSE, which is behind by as much as it happens to be.
  };
  Moment moment();
  // CLOCK_MONOTONIC is that now, or as little later as it takes for none of them to go back.
  void begin_at(const Moment& m);
  // A saved state is one of this moment, however long it takes to write it; not from release() on.
  void hold(Moment m) { held_ = m; }
  void release() { held_.reset(); }

  // Until go_on() no time passes and nothing expires: of a kernel that was restored and has not run
  // yet. begin_at() says which moment it is, and then ...
  void stand_still();
  void stand_at_realtime(int64_t ns) { still_.realtime = ns; }
  void go_on();
  bool stands_still() const { return stands_still_; }
  // CLOCK_MONOTONIC goes on from where it was.
  template <class A>
  void fields(A& ar) {
    Moment m = held_.value_or(moment());
    if constexpr (A::kLoading) m.coarse = 0;  // Older images do not say it.
    ar.all("monotonic, monotonic_coarse, realtime_offset_", m.monotonic, m.coarse,
           realtime_offset_);
    if constexpr (A::kLoading) begin_at(m);
  }

 private:
  static Deadline moved(Deadline d, int64_t by) {
    if (d.infinite() || __builtin_add_overflow(d.ns, by, &d.ns)) return {};
    return d;
  }
  using Heap = std::multimap<int64_t, Ref<TimerClient>>;
  struct Place {
    Heap* heap;
    Heap::iterator at;
  };
  void remove_locked(TimerClient* client) REQUIRES(mu_);
  bool take_expired_locked(Heap& heap, int64_t now, std::vector<Ref<TimerClient>>& out)
      REQUIRES(mu_);

  Mutex<Rank::kTimer> mu_;
  Heap monotonic_heap_ GUARDED_BY(mu_);
  Heap realtime_heap_ GUARDED_BY(mu_);
  std::unordered_map<TimerClient*, Place> places_ GUARDED_BY(mu_);
  TimePage page_;
  std::atomic<int64_t> monotonic_offset_{0}, realtime_offset_{0};
  std::optional<Moment> held_;  // Belongs to whoever saves.
  std::atomic<bool> stands_still_{false};
  Moment still_;  // Not written to while others may ask.
  std::atomic<uint64_t> set_count_{0};
  WaitQueue set_queue_;
};

}  // namespace usk
