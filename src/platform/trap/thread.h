// A guest thread on the trap platform.
#pragma once
#include <sys/types.h>

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "host/listener.h"
#include "platform/platform.h"
#include "platform/trap/area.h"

namespace usk::platform {

class TrapPlatform;
class TrapSpace;

// A call that the stub is to make. `file` is mapped: it becomes the stub's descriptor
// USK_STUB_FILE_FD first, and `keep_as` for later mappings, if that is one.
struct StubCall {
  uint64_t nr = 0;
  std::array<uint64_t, 6> args{};
  HostFd* file = nullptr;
  int keep_as = -1;
};

// A host thread that waits for another guest thread.
struct IdleThread {
  uint32_t slot;
  pid_t tid;
  uint64_t notice;    // That it sleeps in, or 0.
  uint32_t sequence;  // Of its last batch of commands.
  uint64_t cpu_time;  // That its guest thread has used.
  cpu_set_t affinity;
};

class TrapThread final : public Thread {
 public:
  TrapThread(TrapPlatform& platform, Ref<TrapSpace> space, uint32_t slot, uint32_t index);
  // Takes over a host thread whose guest thread has ended.
  TrapThread(TrapPlatform& platform, Ref<TrapSpace> space, const IdleThread& idle);
  ~TrapThread() override;

  Space& space() override;
  Regs& regs() override;
  void set_result(int64_t value) override;
  Result<std::vector<std::byte>> fpu_state() override;
  Result<void> set_fpu_state(std::span<const std::byte> state) override;
  Result<void> begin_with_fpu_state(std::span<const std::byte> state) override;
  bool save_frame_fpu(uint64_t addr) override;
  bool load_frame_fpu(uint64_t addr) override;
  bool take_frame_fault() override { return std::exchange(frame_faulted_, false); }
  // Each trap but that of a call comes by a signal of the host, which sees to it.
  bool left_critical_section() const override { return true; }
  void resume(Mode mode) override;
  void interrupt() override;
  void set_identity(const std::optional<Identity>& identity) override;
  Result<void> set_debug_registers(const std::array<uint64_t, 4>& addresses,
                                   uint64_t control) override;
  uint64_t debug_status() override;
  void set_debug_status(uint64_t value) override;
  void own_futexes(uint64_t time_page) override;
  void wait_futex(uint64_t addr, uint32_t value, uint32_t bitset, Deadline until) override;
  std::optional<Trap> sleeps_in() override;
  uint64_t own_sleeps() override;
  Result<void> allow_tsc(bool allowed) override;
  // As the host does when one makes the other.
  bool has_tsc() const { return has_tsc_; }
  void inherit_tsc(const TrapThread& by);
  uint64_t cpu_time_ns() override;
  Result<void> set_affinity(const cpu_set_t& cpus) override;
  const cpu_set_t& affinity() const { return affinity_; }
  void inherit_affinity(const TrapThread& by) { affinity_ = by.affinity_; }
  // For a while, whatever its affinity is.
  Result<void> confine(const cpu_set_t& cpus);
  // The processor that it ran on when it posted, as it says.
  uint32_t cpu() const { return cpu_; }
  void set_cpu(uint32_t cpu) { cpu_ = cpu; }
  // It is confined to where the kernel process does not poll.
  bool is_kept_off() const { return kept_off_; }
  void set_kept_off(bool on) { kept_off_ = on; }

  Result<size_t> read_memory(uint64_t addr, std::span<std::byte> dst) override;
  Result<size_t> write_memory(uint64_t addr, std::span<const std::byte> src, bool known) override;
  void flush_memory() override { (void)settle(); }
  void park() override;
  void retire() override;
  void forget_copies() override { copied_length_ = 0; }

  // Makes one call in the stub, after those that are queued: its result, or the host's error.
  Result<int64_t> call(const StubCall& c);
  // The same of one that maps a file, whose descriptor is closed behind it.
  Result<void> call_with_file(const StubCall& c);
  // Begins calls and waits for the result of the last, or until the deadline: when the end of the
  // order cannot be heard yet. A negative number of an error.
  int64_t start_calls(std::span<const StubCall> calls, int64_t deadline_ns);
  // Makes it before guest code runs on; it cannot fail in a way that the guest should see.
  Result<void> call_later(const StubCall& c);
  // The same, of a call that no other thread needs to have been made.
  Result<void> call_before_it_runs(const StubCall& c);
  // Whether a call that is queued will ask the kernel process, which may then give `file` as well:
  // to be the descriptor `fd` for the calls behind that one.
  bool brings(HostFd& file, int fd);
  // Those files, once.
  auto take_brought() { return std::exchange(brought_, {}); }
  // Begins a call whose end is waited for later, if at all: await().
  void begin(const StubCall& c);
  // The result of the first command that was given last.
  int64_t first_result();
  // Gives the thread the floating point state with which `by` has posted.
  Result<void> copy_fpu(TrapThread& by);
  // rseq(2) of the host, which keeps the area up to date until the guest thread ends.
  void set_rseq(const trap::Rseq& r);
  const trap::Rseq& rseq() const { return rseq_; }
  // Whether it has yet to copy something of a call's results to there.
  bool copies_to(uint64_t addr, uint64_t length) const;
  void forget_copied_out();
  // Until everything that was queued or is under way has been made.
  Result<void> settle();

  uint32_t slot() const { return slot_; }
  uint32_t index() const { return index_; }
  pid_t tid() const { return tid_; }
  uint64_t area_address() const { return USK_AREAS + uint64_t(slot_) * USK_AREA_SIZE; }
  const Ref<TrapSpace>& trap_space() const { return space_; }
  trap::Area& area();

  // --- For the platform.
  enum class State { kStarting, kStopped, kRunning, kLost };
  State state() const { return state_; }
  uint64_t runs() const { return runs_; }  // How often it was given an order.
  void set_tid(pid_t tid) { tid_ = tid; }
  // Takes what the stub posted, if it runs and did. True: it is stopped now.
  bool take_post();
  trap::Post post() const { return post_; }
  // The post was the thread's first: it only says that it is there.
  bool is_fresh() const { return fresh_; }
  // The post tells of a futex wait that did not end by itself.
  bool was_waiting() const { return was_waiting_; }
  // It says that it sleeps in a futex wait of its own.
  bool sleeps();
  // It sleeps, and its next post will come with a notification.
  bool unwatch();
  bool is_unwatched() const { return unwatched_; }
  // It sleeps, and will ask before guest code of its runs on.
  bool hold();
  void begin_own_futexes(uint64_t time_page);
  void end_own_futexes();
  // It is stopped at the tail of a thunk whose site is no more: it goes on there instead.
  void leave_tail(uint64_t tail, uint64_t ret);
  // What the post means; nothing for a post that is none of the guest's.
  std::optional<Trap> trap();
  // The call under way that the notice is about, if it is the one that was commanded.
  const StubCall* expected(const host::Listener::Notice& n) const;
  void expect(const StubCall& c) { expected_.push_back(c); }
  void take_expected() { expected_.pop_front(); }
  bool asks() const { return !expected_.empty(); }  // A notice will come.
  // Who posted before the thread had a name.
  pid_t claimed_tid() const { return claimed_tid_; }
  void claim(pid_t tid) { claimed_tid_ = tid; }
  // Somebody waits for its next post, which is nobody else's business then.
  bool is_awaited() const { return awaited_; }
  bool set_awaited(bool on) { return std::exchange(awaited_, on); }
  // A notice of the thread that is to be answered with the next order.
  void set_notice(uint64_t id) { notice_ = id; }
  void answer_notice();
  void lose();

 private:
  void order(trap::Order order);
  bool cannot_run();
  bool become_idle();
  void count_call();
  // As call_later(), of a call that only writes to that memory.
  Result<void> copy_later(const StubCall& c, uint64_t length);
  void write_commands();
  void fetch_regs();
  std::optional<Trap> into_patched_site(int signal);
  std::optional<Trap> into_call(uint64_t site);
  std::optional<Trap> make_again();
  void store_regs();
  // Runs what is queued: the result of the last. Only so many at the end may fail. `meanwhile` is
  // called while they run.
  Result<int64_t> run_commands(size_t unpromised, const std::function<void()>& meanwhile = nullptr);
  // Calls `f` while the host thread is this one's tracee.
  Result<void> while_traced(const std::function<Result<void>()>& f);

  TrapPlatform& platform_;
  Ref<TrapSpace> space_;
  const uint32_t slot_, index_;  // Of its area: in the stub process, in the memory file.
  pid_t tid_ = 0, claimed_tid_ = 0;
  State state_ = State::kStarting;
  trap::Post post_ = trap::Post::kNone;
  uint64_t notice_ = 0;
  uint64_t nr_ = 0;  // Of the call that was posted.
  bool fresh_ = false;
  bool left_unasked_ = false;  // With its last post: calls of its order that ask first.
  bool was_waiting_ = false;
  bool unwatched_ = false;  // Since its last order.
  bool kept_off_ = false;
  uint32_t cpu_ = 0;
  uint64_t sleeps_ = 0;  // own_sleeps() at the last post.
  bool in_call_ = false;
  std::optional<int64_t> result_;
  Regs regs_;
  bool awaited_ = false;
  bool frame_faulted_ = false;  // A command for a signal frame met a fault: to be reported.
  bool watches_ = false;        // Debug registers are set.
  bool has_tsc_ = true;
  bool stepped_ = false;     // The trap flag is not the guest's own.
  bool regs_valid_ = false;  // regs_ holds the guest's registers; they go back with the order.
  // What the stub copied into its buffer with the post, and how much of the buffer is in use.
  uint64_t copied_ = 0, copied_length_ = 0, buffer_used_ = 0;
  std::vector<StubCall> queued_;
  struct Range {
    uint64_t addr, length;
  };
  std::vector<Range> copied_out_;                 // By commands that may not have been made yet.
  std::deque<StubCall> expected_;                 // Calls under way that the stub asks for.
  std::vector<std::pair<HostFd*, int>> brought_;  // By the next call that asks.
  trap::Rseq rseq_;
  bool rseq_forgotten_ = false;  // With the post of exit(2).
  bool fpu_posted_ = false;      // The floating point state lies at the beginning of the buffer.
  cpu_set_t affinity_;
  uint64_t cpu_time_before_ = 0, last_cpu_time_ = 0;  // Of former guest threads; as last asked for.
  uint64_t runs_ = 0;
  uint64_t ordered_at_ = 0;  // In host ticks.
  uint32_t sequence_ = 0;    // Of the last batch of commands.
};

}  // namespace usk::platform
