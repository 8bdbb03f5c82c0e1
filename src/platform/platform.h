// Runs guest code: address spaces, threads, traps.
#pragma once
#include <sched.h>
#include <signal.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/x86_64/regs.h"
#include "base/failure.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"
#include "host/host_fd.h"
#include "host/pagemap.h"

namespace usk::platform {

// Guest addresses are [kGuestStart, kGuestEnd); the stub lives above. They end earlier where the
// host's do, as inside Usk itself.
constexpr uint64_t kGuestStart = 0x80000;
constexpr uint64_t kGuestEndOfLinux = 0x7fffd0000000;
uint64_t guest_end_of_host();
inline const uint64_t kGuestEnd = guest_end_of_host();
constexpr uint64_t kPageSize = 4096;

// Why a thread stopped.
struct Trap {
  enum class Kind {
    kSyscall,      // A 64-bit system call; regs().orig_rax is its number, rip is after it.
    kSyscall32,    // int 0x80: the 32-bit convention.
    kVsyscall,     // A call into the vsyscall page; rip is the entry.
    kFault,        // A processor exception: `signal`, `code` and `address` as in siginfo_t.
    kInterrupted,  // interrupt() took effect, or nothing in particular.
    kLost,         // The host killed the thread.
    kWaited,       // wait_futex() ended with `result`.
  };
  Kind kind = Kind::kInterrupted;
  int signal = 0;
  int code = 0;
  uint64_t address = 0;
  // kSyscall: number and arguments.
  uint64_t nr = 0;
  std::array<uint64_t, 6> args{};
  // kSyscall: it is a futex wait that the thread had begun itself (Thread::own_futexes()) when it
  // was interrupted. Until when it was to last, on the host's monotonic clock.
  bool begun = false;
  Deadline deadline;
  // kWaited: as futex(2) says it, or -EINTR for interrupt().
  int64_t result = 0;
  // kFault: the processor's error code and trap number, where the platform can tell.
  uint64_t error = 0, number = 0;
  USK_FIELDS(kind, signal, code, address, nr, args, begun, deadline, result, error, number)
};

// What a stopped thread consists of, beside its memory.
struct ThreadState {
  Regs regs;
  std::vector<std::byte> fpu;  // As Thread::fpu_state() has it.
  uint64_t cpu_time_ns = 0;    // That it has used.
  USK_FIELDS(regs, fpu, cpu_time_ns)
};

class Thread;
struct Counters;  // counters.h
struct CallSite;

// One host mapping to make: mmap(2) with MAP_FIXED in a space.
struct Mapping {
  uint64_t addr = 0, length = 0;
  int prot = 0;
  int flags = 0;         // MAP_PRIVATE or MAP_SHARED, MAP_NORESERVE, MAP_POPULATE...
  HostFd* fd = nullptr;  // Null: anonymous.
  uint64_t offset = 0;
  // The file is this space's alone, whoever else its permissions would admit.
  bool own_file = false;
  // Everybody may have it, though it has no name.
  bool for_all = false;
  // It may be made later; the space is lost if it fails then.
  bool promised = false;
};

// A guest address space. Changes are made by one of its stopped threads, `by`.
class Space : public RefCounted {
 public:
  virtual Result<void> map(Thread& by, const Mapping& m) = 0;
  virtual Result<void> unmap(Thread& by, uint64_t addr, uint64_t length) = 0;
  virtual Result<void> protect(Thread& by, uint64_t addr, uint64_t length, int prot) = 0;
  // Moves pages (mremap(2) with MREMAP_FIXED); `new_length` may differ.
  virtual Result<void> move(Thread& by, uint64_t from, uint64_t length, uint64_t to,
                            uint64_t new_length, int flags) = 0;
  virtual Result<void> advise(Thread& by, uint64_t addr, uint64_t length, int advice) = 0;
  virtual Result<void> sync(Thread& by, uint64_t addr, uint64_t length, int flags) = 0;

  // Copies as far as pages are there and permit it; EFAULT when not one byte could be copied.
  virtual Result<size_t> read(uint64_t addr, std::span<std::byte> dst) = 0;
  virtual Result<size_t> write(uint64_t addr, std::span<const std::byte> src) = 0;
  // The same whatever the protection says, as a debugger may (private pages are copied first).
  virtual Result<size_t> read_forced(uint64_t addr, std::span<std::byte> dst) = 0;
  virtual Result<size_t> write_forced(uint64_t addr, std::span<const std::byte> src) = 0;
  // Atomically replaces the 32-bit word at `addr` if it holds `expected`; returns what it held.
  virtual Result<uint32_t> compare_exchange(Thread& by, uint64_t addr, uint32_t expected,
                                            uint32_t desired) = 0;
  // membarrier(2): a barrier on all threads of the space, or of all spaces.
  virtual Result<void> barrier(Thread& by, int command) = 0;
  // rseq(2) of the calling thread, registered with the host, which keeps the area up to date. Where
  // it may wait until the thread runs, a failure then ends the space.
  enum class When { kNow, kBeforeItRuns };
  virtual Result<void> register_rseq(Thread& by, uint64_t addr, uint32_t length, int flags,
                                     uint32_t signature, When when = When::kNow) = 0;
  // One byte per page from `addr` on: bit 0 says it is resident (mincore(2)); pagemap bits of
  // the host for smaps.
  virtual Result<void> residency(uint64_t addr, std::span<uint8_t> pages) = 0;
  // The first pages of [start, end) that are there (kOwn: and were written to, of private memory),
  // as at most `most` runs, in order. What is behind `looked_to` was not looked at yet.
  enum class Pages { kThere, kOwn };
  using PageRun = host::PageRun;
  using FoundPages = host::FoundPages;
  virtual Result<FoundPages> find_pages(uint64_t start, uint64_t end, Pages which, size_t most) = 0;
  virtual uint64_t resident_bytes() = 0;

  // Whether its threads make calls with private futexes themselves: all plain ones of
  // FUTEX_PRIVATE_FLAG, without priority inheritance and without moving sleepers (FUTEX_REQUEUE).
  virtual bool has_own_futexes() const { return false; }
  // No thread does from now on. Those that sleep in one report it, with Trap::begun or as kWaited
  // with -EINTR, before any other trap that comes from now on.
  enum class Ended { kForNow, kForGood };
  virtual void end_own_futexes(Ended) {}
  virtual bool ended_own_futexes_for_now() const { return false; }
  // All threads do again, unless that has ended for good or one that slept is still to be resumed.
  // `time_page` as in Identity. Nobody is left who waits in the kernel.
  virtual void begin_own_futexes(uint64_t time_page) { (void)time_page; }

  // Whether `addr` is executable private memory that is not writable, which the platform may change
  // for its own ends. Asked while nothing is locked.
  using CodeQuery = std::function<bool(uint64_t addr)>;
  virtual void set_code_query(CodeQuery) {}

  // What is mapped at `addr`, for people to read. Asked while nothing is locked.
  struct Place {
    std::string file;
    uint64_t offset = 0;  // In the file, of `addr`.
  };
  using PlaceQuery = std::function<Place(uint64_t addr)>;
  virtual void set_place_query(PlaceQuery) {}
};

// What a guest thread may be told without asking the kernel: getpid(2), gettid(2), getuid(2) ...,
// and clocks, where the page that they are read with (abi/time_page.h) is mapped.
struct Identity {
  uint32_t pid = 0, tid = 0, uid = 0, euid = 0, gid = 0, egid = 0;
  uint64_t time_page = 0;  // 0: no clock.
};

class Thread {
 public:
  virtual ~Thread() = default;
  virtual Space& space() = 0;

  // Of a stopped thread.
  virtual Regs& regs() = 0;
  // The result of the call that trapped: as regs().set_result(), without a look at the rest.
  virtual void set_result(int64_t value) { regs().set_result(value); }
  // The floating point and vector state, in the XSAVE layout of NT_X86_XSTATE.
  virtual Result<std::vector<std::byte>> fpu_state() = 0;
  virtual Result<void> set_fpu_state(std::span<const std::byte> state) = 0;
  // The same of a thread that has not run yet; it may be done before it does.
  virtual Result<void> begin_with_fpu_state(std::span<const std::byte> state) {
    return set_fpu_state(state);
  }
  // The same between the thread and a signal frame in its memory (make_frame_fpu()), in time for
  // its next instruction; `addr` 0 loads the initial state. A failure is reported as a trap then:
  // a fault with SIGSEGV and SI_KERNEL. False: it is to be done by fpu_state() and copies.
  virtual bool save_frame_fpu(uint64_t addr) {
    (void)addr;
    return false;
  }
  virtual bool load_frame_fpu(uint64_t addr) {
    (void)addr;
    return false;
  }
  // Whether such a failure is still to be reported; from now on that is the caller's business.
  virtual bool take_frame_fault() { return false; }
  // Memory of its space, as Space::read() and write(), for the call that this thread is in: what
  // the platform copied with the trap is not copied again, and a write may come only when the
  // thread runs on. `known` says that the pages are mapped and writable.
  virtual Result<size_t> read_memory(uint64_t addr, std::span<std::byte> dst) {
    return space().read(addr, dst);
  }
  virtual Result<size_t> write_memory(uint64_t addr, std::span<const std::byte> src, bool known) {
    (void)known;
    return space().write(addr, src);
  }
  // Makes writes of write_memory() that are still to come: others are about to look.
  virtual void flush_memory() {}
  // The thread will not run on soon.
  virtual void park() {}
  // Its guest has ended: nothing of it, the host's record of its rseq area (rseq(2)) neither, may
  // touch memory from the next flush_memory() on.
  virtual void retire() {}
  // The call slept: what was copied with its trap is old.
  virtual void forget_copies() {}
  // Whether the host itself has taken the thread out of a critical section (rseq(2)) when it traps.
  virtual bool left_critical_section() const { return false; }
  // Run guest code until the next trap, which is reported by Platform::poll().
  enum class Mode { kRun, kStep };
  virtual void resume(Mode mode) = 0;
  // A running thread is to stop soon and report a trap of any kind.
  virtual void interrupt() = 0;
  // Of a stopped thread: these calls may be answered without a trap from now on. Nothing: each is
  // to be reported; a running thread may be told so, too, for the calls that it makes from then on.
  virtual void set_identity(const std::optional<Identity>&) {}
  // Debug registers 0 to 3 and 7 of a stopped thread; none are set in a new one. What meets them
  // is reported as a fault with SIGTRAP and TRAP_HWBKPT. EINVAL, ENOSPC, EOPNOTSUPP.
  virtual Result<void> set_debug_registers(const std::array<uint64_t, 4>& addresses,
                                           uint64_t control) = 0;
  // Debug register 6: which of them such faults have met since it was set to 0.
  virtual uint64_t debug_status() = 0;
  virtual void set_debug_status(uint64_t value) = 0;
  // Of a stopped thread: it makes plain calls with private futexes itself, unless that has ended
  // for its space. `time_page` as in Identity.
  virtual void own_futexes(uint64_t time_page) { (void)time_page; }
  // Sleeps like FUTEX_WAIT_BITSET with FUTEX_PRIVATE_FLAG, until the deadline on the host's
  // monotonic clock; then a trap kWaited is reported. Of a stopped thread of a space that
  // has_own_futexes().
  virtual void wait_futex(uint64_t addr, uint32_t value, uint32_t bitset, Deadline until) {
    (void)addr, (void)value, (void)bitset, (void)until;
  }
  // A futex call that it makes itself and sleeps in.
  virtual std::optional<Trap> sleeps_in() { return std::nullopt; }
  // How often it has slept by itself, as told by the guest.
  virtual uint64_t own_sleeps() { return 0; }
  // Of a stopped thread: whether its guest code may read the time stamp counter (rdtsc, rdtscp); a
  // fault with SIGSEGV and SI_KERNEL else. A new thread has what its maker has; in a new space
  // that is yes.
  virtual Result<void> allow_tsc(bool allowed) = 0;
  virtual uint64_t cpu_time_ns() = 0;
  // sched_setaffinity(2); processors the host does not have are left out.
  virtual Result<void> set_affinity(const cpu_set_t& cpus) = 0;

  // For the kernel: whose thread this is.
  void* owner = nullptr;
};

// A fresh space (an empty one, or a copy) and its one thread, stopped.
struct NewSpace {
  Ref<Space> space;
  std::unique_ptr<Thread> thread;
};

class Platform {
 public:
  virtual ~Platform() = default;
  virtual std::string_view name() const = 0;
  // What it has counted since it was made. `most` call sites, those with the most calls first.
  virtual Counters counters() = 0;
  virtual std::vector<CallSite> call_sites(size_t most);

  virtual Result<NewSpace> new_space() = 0;
  // A copy-on-write copy of the space of `by`; the new thread has the registers of `by`.
  virtual Result<NewSpace> fork(Thread& by) = 0;
  // Another thread in the space of `by`, with its registers.
  virtual Result<std::unique_ptr<Thread>> new_thread(Thread& by) = 0;

  // The host's clock_gettime(2) as a function that guest code may call at this address in every
  // space; 0: there is none.
  virtual uint64_t host_clock_gettime() { return 0; }

  // Many orders to stopped threads are about to follow each other.
  virtual void begin_burst() {}

  // Waits until a thread has trapped, `fd` becomes readable or the deadline (host's monotonic
  // clock) has passed, whatever is first, and reports each trap to `on_trap`. False: `fd` was not
  // looked at or is not readable.
  using OnTrap = std::function<void(Thread&, const Trap&)>;
  virtual bool poll(int fd, Deadline until, const OnTrap& on_trap) = 0;
};

}  // namespace usk::platform
