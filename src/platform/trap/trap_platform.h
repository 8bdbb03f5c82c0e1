// The trap platform: guest code runs as ordinary host threads; seccomp turns their system calls
// into signals, and the stub's handler hands them to the kernel process through shared memory.
#pragma once
#include <deque>
#include <memory>
#include <unordered_map>
#include <vector>

#include "host/cpu.h"
#include "host/listener.h"
#include "host/vdso.h"
#include "platform/platform.h"
#include "platform/trap/area_pool.h"
#include "platform/trap/crowd.h"
#include "platform/trap/files.h"
#include "platform/trap/hand_off.h"
#include "platform/trap/patches.h"
#include "platform/trap/patience.h"
#include "platform/trap/sites.h"
#include "platform/trap/space.h"
#include "platform/trap/strays.h"
#include "platform/trap/thread.h"
#include "platform/trap/wakes.h"

namespace usk::platform {

class TrapPlatform final : public Platform {
 public:
  // Fails where the host lacks something: the message says what.
  static OrFailure<std::unique_ptr<Platform>> make();
  ~TrapPlatform() override;

  std::string_view name() const override { return "trap"; }
  Counters counters() override;
  std::vector<CallSite> call_sites(size_t most) override { return sites.top(most); }
  Result<NewSpace> new_space() override;
  Result<NewSpace> fork(Thread& by) override;
  Result<std::unique_ptr<Thread>> new_thread(Thread& by) override;
  void begin_burst() override;
  bool poll(int fd, Deadline until, const OnTrap& on_trap) override;
  uint64_t host_clock_gettime() override { return vdso_.clock_gettime; }
  // The host's vDSO in every stub.
  const host::Vdso& vdso() const { return vdso_; }

  // --- For spaces and threads.
  Counters count;
  bool host_has_rseq = false;        // A registration has succeeded.
  bool host_has_huge_pages = false;  // MADV_HUGEPAGE has.
  CallSites sites;
  // The thread is gone, and with it what it told of itself.
  void keep_counts(TrapThread& t);
  AreaPool& areas() { return areas_; }
  StubFiles& files() { return files_; }
  const cpu_set_t& processors() const { return processors_; }
  host::Listener& listener() { return listener_; }
  void add_thread(TrapThread& t);
  void remove_thread(TrapThread& t);
  void entered_guest(TrapThread& t) {
    running_.push_back(&t);
    if (crowded_) (void)keep_off(t);
    wakes_.ordered(t.area());
  }
  void left_guest(TrapThread& t) {
    std::erase(running_, &t);
    if (t.is_unwatched()) std::erase(asleep_, &t);
  }
  // The thread is told to exit, or its host thread stays as it is (`asleep`).
  void let_go(TrapThread& t, bool asleep) { gone_[t.index()] = {t.tid(), asleep}; }
  // The thread was told to stop; it is looked after that it does.
  void kicked(TrapThread& t);
  // `think_ns` after its order, if that says anything.
  void took_post(TrapThread& t, std::optional<int64_t> think_ns, uint32_t cpu, bool noticed) {
    if (think_ns) hand_off_.posted(*think_ns);
    if (noticed) crowd_.notified(host::ticks_to_ns(host::ticks()));
    beside_ = cpu == host::current_cpu() ? &t : nullptr;
  }
  // The thread has an order, and sleeps; where that matters less, somebody else may wake it soon.
  void wake(TrapThread& t, bool at_once);
  // The thread is about to sleep.
  void parks(TrapThread& t) {
    if (!polling_) return;
    wakes_.parks(t.area(), clock());
    count.wakes_by_guest = wakes_.asked();
  }
  // The thread, which waits for the answer to a notice, runs guest code again.
  void answer(TrapThread& t);
  void name_thread(TrapThread& t, pid_t tid);  // Its host thread is known now.
  // poll() is to say what the thread has met, be it that it is dead.
  void report(TrapThread& t);
  // Runs the platform until `t` has posted. False: it is lost.
  bool await(TrapThread& t);
  // Runs the platform until the condition holds that `t` is to bring about. False: it is lost.
  bool wait_until(TrapThread& t, const std::function<bool()>& condition) {
    return wait_until(t, condition, t.asks() || t.is_awaited());
  }
  // The same until the condition holds, which takes no longer than that. False: it does.
  bool wait_for(const std::function<bool()>& condition, int64_t most_ns);
  // Takes in posts that came without a notice: how many.
  size_t take_posts();
  // `noticed`: a notice will come before the condition holds.
  bool wait_until(TrapThread& t, const std::function<bool()>& condition, bool noticed);
  // The process is being killed: its blocks are free once it has ended.
  struct Ending {
    std::vector<std::pair<uint32_t, uint32_t>> blocks;  // Block, areas in use.
  };
  void end_process(pid_t pid, Ending what);
  // Takes note of the processes that have ended.
  void reap();

 private:
  explicit TrapPlatform(AreaPool areas);
  OrFailure<void> start_zygote();
  OrFailure<void> write_filter(uint32_t index);
  OrFailure<void> empty_zygote(TrapThread& zygote);
  // A space that is about to be a copy of another, once `thread` has posted.
  struct Copy {
    Ref<TrapSpace> space;
    std::unique_ptr<TrapThread> thread;
    StubCall fork;
  };
  Result<Copy> prepare_copy(TrapThread& by);
  Result<NewSpace> finish_copy(TrapThread& by, Copy copy, Result<int64_t> pid);
  void inherit_place(TrapThread& by, TrapThread& t);
  Result<NewSpace> copy_space(TrapThread& by);
  Result<std::unique_ptr<TrapThread>> take_idle_thread(TrapThread& by);
  // Has the zygote make the next empty space while nobody waits for it.
  void prepare_spare();
  Result<NewSpace> take_spare();

  // As Crowd wants it.
  static int64_t clock() { return host::ticks_to_ns(host::ticks()); }
  // Sleeps until something came, and takes it in. Whether `fd` is readable.
  bool pump(int fd, int64_t deadline_ns);
  // Polls for posts while that pays. True: there is one.
  bool spin(int64_t deadline_ns);
  struct Idle {
    uint64_t since;  // In host ticks.
    bool looked_beside = false;
  };
  bool goes_on_idle(Idle& idle, uint64_t now);
  void start_polling(bool crowded);
  // The guest goes on with a processor less.
  void crowd_together();
  void stop_polling(HandOff::Stop why);
  void keep_polling_apart();
  void poll_for(TrapThread& t);
  void look_at_wakes();
  // How many threads run guest code, for all that they say.
  size_t awake() const;
  // Those of them that were woken.
  size_t woken() const;
  // Whether the guest has had a thread for each processor for a while.
  bool is_crowded();
  // Tells who of them sleeps, whose posts then come with a notification.
  void sort_sleepers();
  TrapThread* beside_guest();
  // The thread may not run on our processor until polling ends. False: it has no other.
  bool keep_off(TrapThread& t);
  // `leaves`: the kernel process is about to leave its processor to them.
  void let_run_anywhere(bool leaves);
  // Another thread that runs there, as far as is known.
  TrapThread* runs_at(uint32_t cpu, const TrapThread& but) const;
  // Whether it does.
  bool is_still_at(uint32_t cpu, TrapThread& t);
  // The thread, which waits, goes on where nobody is. False: there is no such place.
  bool move_on(TrapThread& t);
  void set_hand_over(bool on);
  bool get_apart(TrapThread& t);
  void report_post(TrapThread& t);
  void on_notice(const host::Listener::Notice& n);
  void on_post_notice(const host::Listener::Notice& n);
  void refuse(const host::Listener::Notice& n);
  bool let_child_map(const host::Listener::Notice& n);
  void look_after_kicked();
  void look_for_strays(int64_t now);
  void process_ended(pid_t pid);

  AreaPool areas_;
  ThunkPool thunks_;
  StubFiles files_;
  host::Listener listener_;
  int children_ = -1;
  host::Vdso vdso_;
  std::unordered_map<uint32_t, TrapThread*> by_index_;  // Of the area.
  std::unordered_map<pid_t, TrapThread*> by_tid_;
  struct Gone {
    pid_t tid;
    bool asleep;
  };
  std::unordered_map<uint32_t, Gone> gone_;  // By area: let_go().
  std::unordered_map<pid_t, Ending> ending_;
  std::vector<TrapThread*> expected_children_;  // Of fork, without a host process yet.
  Strays strays_;
  std::deque<TrapThread*> posted_;  // Have something to report.
  struct Kicked {
    TrapThread* thread;
    uint64_t run;  // Of TrapThread::runs(), when it was kicked.
    Patience patience;
  };
  std::vector<Kicked> kicked_;
  std::vector<TrapThread*> running_;  // May post ...
  std::vector<TrapThread*> asleep_;   // ... and so may these, but will tell.
  Wakes wakes_;
  HandOff hand_off_;
  Crowd crowd_;
  bool crowded_ = false;    // It polls although the guest could use the processor.
  bool hands_over_ = true;  // What the listener was told.
  bool quiet_ = false;      // The last pump() met nothing.
  bool polling_ = false;
  int64_t crowded_since_ = 0;           // As clock() has it: when it was not, last.
  uint64_t polled_ = 0;                 // Posts taken since polling began ...
  uint64_t moves_ = 0;                  // ... and how often it left the guest's processor.
  TrapThread* beside_ = nullptr;        // The last post came from the processor it was taken on.
  std::vector<TrapThread*> kept_off_;   // Must not run where we poll.
  uint64_t looked_ticks_ = 0;           // The same in ticks.
  int64_t looked_at_ = 0;               // When the descriptors were last looked at.
  int64_t places_seen_at_ = 0;          // When it was looked last where a thread is.
  int64_t look_after_at_ = 0;           // When kicked threads are to be looked after next.
  std::unique_ptr<TrapThread> zygote_;  // An empty space, copied for each new one.
  std::optional<Copy> spare_;           // In the making.
  bool wants_spare_ = false;            // Programs have begun to start programs.
  cpu_set_t processors_;                // That the kernel process may use.
};

}  // namespace usk::platform
