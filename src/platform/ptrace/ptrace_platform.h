// The ptrace platform.
#pragma once
#include <sys/types.h>

#include <array>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "host/channel.h"
#include "host/pagemap.h"
#include "host/process.h"
#include "host/vdso.h"
#include "platform/counters.h"
#include "platform/platform.h"

namespace usk::platform {

// Where something of the stub's own pages (stub/layout.h) is: they begin where the guest ends.
inline uint64_t in_stub(uint64_t in_layout) { return in_layout - kGuestEndOfLinux + kGuestEnd; }

class PtracePlatform;
class PtraceThread;

class PtraceSpace final : public Space {
 public:
  PtraceSpace(PtracePlatform& platform, pid_t pid) : platform_(platform), pid_(pid) {}
  ~PtraceSpace() override;

  Result<void> map(Thread& by, const Mapping& m) override;
  Result<void> unmap(Thread& by, uint64_t addr, uint64_t length) override;
  Result<void> protect(Thread& by, uint64_t addr, uint64_t length, int prot) override;
  Result<void> move(Thread& by, uint64_t from, uint64_t length, uint64_t to, uint64_t new_length,
                    int flags) override;
  Result<void> advise(Thread& by, uint64_t addr, uint64_t length, int advice) override;
  Result<void> sync(Thread& by, uint64_t addr, uint64_t length, int flags) override;
  Result<size_t> read(uint64_t addr, std::span<std::byte> dst) override;
  Result<size_t> write(uint64_t addr, std::span<const std::byte> src) override;
  Result<size_t> read_forced(uint64_t addr, std::span<std::byte> dst) override;
  Result<size_t> write_forced(uint64_t addr, std::span<const std::byte> src) override;
  Result<uint32_t> compare_exchange(Thread& by, uint64_t addr, uint32_t expected,
                                    uint32_t desired) override;
  Result<void> barrier(Thread& by, int command) override;
  Result<void> register_rseq(Thread& by, uint64_t addr, uint32_t length, int flags,
                             uint32_t signature, When when) override;
  Result<void> residency(uint64_t addr, std::span<uint8_t> pages) override;
  Result<FoundPages> find_pages(uint64_t start, uint64_t end, Pages which, size_t most) override;
  uint64_t resident_bytes() override;

  pid_t pid() const { return pid_; }
  Result<int> memory_fd();
  // All of `src` to one of the stub's own pages.
  Result<void> write_stub(uint64_t addr, std::span<const std::byte> src);

 private:
  PtracePlatform& platform_;
  const pid_t pid_;  // The stub process.
  UniqueFd memory_;  // /proc/PID/mem, opened at first use.
  host::Pagemap pagemap_;
  int barriers_ = 0;  // membarrier(2) commands the stub is registered for.
};

// A call for a stub to make.
struct Command {
  uint64_t nr;
  std::array<uint64_t, 6> args;
  uint64_t unused = 0;
};
static_assert(sizeof(Command) == 64);

class PtraceThread final : public Thread {
 public:
  PtraceThread(PtracePlatform& platform, Ref<PtraceSpace> space, pid_t tid);
  ~PtraceThread() override;

  Space& space() override { return *space_; }
  Regs& regs() override;
  Result<std::vector<std::byte>> fpu_state() override;
  Result<void> set_fpu_state(std::span<const std::byte> state) override;
  void resume(Mode mode) override;
  void interrupt() override;
  Result<void> set_debug_registers(const std::array<uint64_t, 4>& addresses,
                                   uint64_t control) override;
  uint64_t debug_status() override;
  void set_debug_status(uint64_t value) override;
  Result<void> allow_tsc(bool allowed) override;
  uint64_t cpu_time_ns() override;
  Result<void> set_affinity(const cpu_set_t& cpus) override;

  pid_t tid() const { return tid_; }
  const Ref<PtraceSpace>& ptrace_space() const { return space_; }
  // What a stop of this thread means. Nothing: it was none of the guest's business, and the
  // thread runs again.
  std::optional<Trap> classify(int status);
  bool is_lost() const { return lost_; }

  // Makes one call in the stub and returns its result (an error when the host refused it).
  Result<int64_t> call(uint64_t nr, std::array<uint64_t, 6> args);
  // Makes calls in order until one fails.
  Result<void> batch(std::span<const Command> commands);
  // A clone(2) in the stub: returns the new host thread, stopped.
  Result<pid_t> clone(uint64_t flags);
  Result<uint32_t> compare_exchange(uint64_t addr, uint32_t expected, uint32_t desired);

 private:
  // Runs stub code with `regs` until its int3 (or a fault); returns the registers then.
  struct StubStop {
    Regs regs;
    int signal;
  };
  Result<StubStop> run_stub(const Regs& regs);
  bool is_late_step_trap(const siginfo_t& info);
  Result<int> continue_until_stop();
  std::optional<Trap> classify_event(int event, int signal);
  std::optional<Trap> classify_signal(int signal);
  std::optional<Trap> classify_filtered_call(const siginfo_t& info);
  void fetch_regs();

  PtracePlatform& platform_;
  Ref<PtraceSpace> space_;
  const pid_t tid_;
  Regs regs_;
  bool regs_valid_ = false;  // regs_ holds the guest's registers.
  bool regs_dirty_ = false;  // ... and the host thread does not have them yet.
  bool lost_ = false;
  bool step_trap_due_ = false;
  bool running_ = false;
  Mode mode_ = Mode::kRun;
};

// What brings a guest's system call to us. The host looks at the stub's seccomp filter before it
// looks at the tracer up to Linux 4.7, so that there the filter's SIGSYS is what is seen; from 4.8
// on the tracer's stop of PTRACE_SYSEMU comes first (seccomp(2), ptrace(2)).
enum class CallStop { kSysemu, kSignal };
CallStop call_stop_of_host();

class PtracePlatform final : public Platform {
 public:
  static OrFailure<std::unique_ptr<Platform>> make(CallStop call_stop = call_stop_of_host());
  ~PtracePlatform() override;

  std::string_view name() const override { return "ptrace"; }
  Counters counters() override { return count; }
  Result<NewSpace> new_space() override;
  Result<NewSpace> fork(Thread& by) override;
  Result<std::unique_ptr<Thread>> new_thread(Thread& by) override;
  bool poll(int fd, Deadline until, const OnTrap& on_trap) override;
  uint64_t host_clock_gettime() override { return vdso_.clock_gettime; }
  // The host's vDSO in every stub.
  const host::Vdso& vdso() const { return vdso_; }

  Counters count;
  host::Channel& channel() { return channel_; }
  CallStop call_stop() const { return call_stop_; }
  void add_thread(PtraceThread& t) { threads_[t.tid()] = &t; }
  void remove_thread(PtraceThread& t) {
    threads_.erase(t.tid());
    std::erase_if(reports_, [&t](const auto& r) { return r.first == &t; });
    in_guest_.erase(&t);
  }
  void entered_guest(PtraceThread& t) { in_guest_.insert(&t); }
  // The thread has trapped although it did not run.
  void report(PtraceThread& t, const Trap& trap) { reports_.emplace_back(&t, trap); }

 private:
  PtracePlatform(host::Channel channel, CallStop call_stop)
      : channel_(std::move(channel)), call_stop_(call_stop) {}
  OrFailure<void> start_zygote();
  OrFailure<void> install_filter();
  std::optional<host::WaitEvent> next_event();
  bool poll_once(const OnTrap& on_trap);
  NewSpace wrap_space(pid_t pid);

  host::Channel channel_;
  const CallStop call_stop_;
  std::unordered_map<pid_t, PtraceThread*> threads_;
  std::unordered_set<PtraceThread*> in_guest_;  // Resumed; no event met yet.
  unsigned rounds_ = 0;
  host::Vdso vdso_;
  std::vector<std::pair<PtraceThread*, Trap>> reports_;
  std::unique_ptr<PtraceThread> zygote_;  // An empty space, copied for each new one.
};

}  // namespace usk::platform
