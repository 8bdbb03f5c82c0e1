// The area map of a guest address space and the operations of mmap(2) on it.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "base/failure.h"
#include "base/lock.h"
#include "base/result.h"
#include "mm/page_source.h"
#include "mm/range_set.h"
#include "mm/vma.h"
#include "platform/platform.h"

namespace usk {

// A program file that is being executed: nobody may open it for writing meanwhile (ETXTBSY).
class ExecutableHold final : public RefCounted {
 public:
  static Result<Ref<ExecutableHold>> take(Ref<File> file);
  ~ExecutableHold() override;

 private:
  explicit ExecutableHold(Ref<File> file) : file_(std::move(file)) {}
  Ref<File> file_;

 public:
  static OrFailure<Ref<ExecutableHold>> make_saved(state::Fields& in);
  OrFailure<void> restored(state::Restored&);
  USK_FIELDS(file_)
};

// Pages in memory, and where they lie in an image.
struct PageRun {
  uint64_t addr = 0, length = 0, at = 0;
  USK_FIELDS(addr, length, at)
};

// Where such pages are.
struct SavedPages {
  Ref<HostFd> file;
  uint64_t size = 0;
  Ref<PageSource> arriving;  // Null: all are there.
};

// The limits that an operation is checked against, in bytes (getrlimit(2)).
struct MemoryLimits {
  uint64_t as = UINT64_MAX;
  uint64_t data = UINT64_MAX;
  uint64_t stack = 8 << 20;
  uint64_t memlock = UINT64_MAX;
};

// What is asked of mmap(2).
struct MapRequest {
  uint64_t addr = 0, length = 0;
  int prot = 0, flags = 0;  // As mmap(2).
  Ref<File> file;
  uint64_t offset = 0;
  std::string name;
  Ref<HostFd> memory;  // The time page, instead of a file.
  // Makes the file of so many bytes that stands behind shared anonymous memory.
  std::function<Result<Ref<File>>(uint64_t length)> make_shared;
};

// Sums that limits and /proc/PID/status speak of, in bytes.
struct MemoryTotals {
  uint64_t total = 0, data = 0, stack = 0, exec = 0, locked = 0;
};

// Linux's mm_struct. Operations that change mappings are made through `by`, a stopped thread of
// this space. Errors as in the manual page of each call.
class AddressSpace final : public RefCounted {
 public:
  explicit AddressSpace(Ref<platform::Space> space);
  explicit AddressSpace(Blank) {}  // Until attach().
  ~AddressSpace() override;

  platform::Space& space() { return *space_; }

  Result<uint64_t> map(platform::Thread& by, const MapRequest& request, const MemoryLimits& limits)
      EXCLUDES(mu_);
  Result<void> unmap(platform::Thread& by, uint64_t addr, uint64_t length) EXCLUDES(mu_);
  // shmdt(2): all areas of the segment that was attached at `addr`. EINVAL.
  Result<void> detach(platform::Thread& by, uint64_t addr) EXCLUDES(mu_);
  Result<void> protect(platform::Thread& by, uint64_t addr, uint64_t length, int prot)
      EXCLUDES(mu_);
  Result<uint64_t> remap(platform::Thread& by, uint64_t old_addr, uint64_t old_length,
                         uint64_t new_length, int flags, uint64_t new_addr,
                         const MemoryLimits& limits) EXCLUDES(mu_);
  // brk(2): the new (or, on failure, the old) break.
  uint64_t set_break(platform::Thread& by, uint64_t addr, const MemoryLimits& limits) EXCLUDES(mu_);
  Result<void> advise(platform::Thread& by, uint64_t addr, uint64_t length, int advice)
      EXCLUDES(mu_);
  Result<void> sync(platform::Thread& by, uint64_t addr, uint64_t length, int flags) EXCLUDES(mu_);
  Result<std::vector<uint8_t>> residency(uint64_t addr, uint64_t length) EXCLUDES(mu_);
  // The first run that Space::find_pages() finds, or an empty one where it has looked to; pages of
  // an image count as written to.
  Result<platform::Space::PageRun> next_pages(uint64_t start, uint64_t end,
                                              platform::Space::Pages which) EXCLUDES(mu_);
  std::vector<RangeSet::Range> of_image(uint64_t start, uint64_t end) EXCLUDES(mu_);
  Result<void> set_locked(uint64_t addr, uint64_t length, bool locked, const MemoryLimits& limits)
      EXCLUDES(mu_);
  Result<void> set_all_locked(bool locked, bool future, const MemoryLimits& limits) EXCLUDES(mu_);
  Result<void> set_name(uint64_t addr, uint64_t length, std::string name) EXCLUDES(mu_);

  // A fault at `addr`: grows a stack area down to it, if one lies above and may grow.
  bool grow_stack(platform::Thread& by, uint64_t addr, const MemoryLimits& limits) EXCLUDES(mu_);

  // The child's map after the platform copied the space; `child` is its thread.
  Result<Ref<AddressSpace>> fork(Ref<platform::Space> space, platform::Thread& child) EXCLUDES(mu_);

  // Whether all of [addr, addr + length) is mapped for writing.
  bool is_writable(uint64_t addr, uint64_t length) EXCLUDES(mu_);
  // The area that holds `addr`.
  std::optional<Vma> find(uint64_t addr) EXCLUDES(mu_);
  std::vector<Vma> areas() EXCLUDES(mu_);
  MemoryTotals totals() EXCLUDES(mu_);
  uint64_t peak_total() EXCLUDES(mu_);

  // Places that the loader and prctl(PR_SET_MM) know, shown in /proc/PID/stat.
  struct Layout {
    uint64_t start_code = 0, end_code = 0, start_data = 0, end_data = 0;
    uint64_t start_brk = 0, start_stack = 0;
    uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
    uint64_t mmap_base = 0, vdso = 0;
    USK_FIELDS(start_code, end_code, start_data, end_data, start_brk, start_stack, arg_start,
               arg_end, env_start, env_end, mmap_base, vdso)
  };
  Layout layout;               // Written by the loader, before the space is shared.
  std::vector<uint64_t> auxv;  // Pairs, as /proc/PID/auxv shows them.
  Ref<File> executable;        // /proc/PID/exe
  Ref<ExecutableHold> executable_hold;
  int dumpable = 1;  // PR_SET_DUMPABLE; 2: for root only (suid_dumpable of proc_sys_fs(5)).
  uint32_t dump_filter = 0x33;  // /proc/PID/coredump_filter
  bool thp_disabled = false;    // PR_SET_THP_DISABLE
  // membarrier(2): commands this process registered for.
  uint32_t membarrier_registered = 0;

  // --- A debugger's breakpoints (kernel/debug). Others are shown, and change, the byte that such
  // an instruction stands in the place of.
  Result<void> plant(uint64_t addr) EXCLUDES(mu_);
  void unplant(uint64_t addr) EXCLUDES(mu_);
  bool is_planted(uint64_t addr) EXCLUDES(mu_);
  // For one instruction of a thread that the debugger does not stop: takes it out, and puts it
  // back if the debugger still has it.
  void lift(uint64_t addr) EXCLUDES(mu_);
  void lower(uint64_t addr) EXCLUDES(mu_);
  // As of platform::Space.
  Result<size_t> read_forced(uint64_t addr, std::span<std::byte> dst) EXCLUDES(mu_);
  Result<size_t> write_forced(uint64_t addr, std::span<const std::byte> src) EXCLUDES(mu_);

  // --- Checkpoints (snapshot.h). Of a space whose threads are all stopped.
  // A copy for nobody but a reader: areas are in it that fork(2) leaves out.
  Result<platform::NewSpace> copy(platform::Platform& platform, platform::Thread& by) EXCLUDES(mu_);
  // Fills memory with what lies in a file of an image. Much of it is only read when it is touched:
  // nobody may change the file.
  OrFailure<void> load_pages(platform::Thread& by, const SavedPages& pages,
                             std::span<const PageRun> runs) EXCLUDES(mu_);

  // --- Memory that is still arriving (page_source.h).
  // Waits for what of [addr, addr + length) is. True: some was, and may be used now.
  bool bring(platform::Thread& by, uint64_t addr, uint64_t length) EXCLUDES(mu_);
  Result<void> bring_all(platform::Thread& by) EXCLUDES(mu_);
  // Whether the page at `addr` is still to come.
  bool is_missing(uint64_t addr) EXCLUDES(mu_);
  // A fault that was met because memory had not arrived: once it has, the instruction at `ip` is to
  // be tried again.
  bool is_late(const platform::Trap& fault, uint64_t ip) EXCLUDES(mu_);
  // As of platform::Space.
  Result<size_t> read(uint64_t addr, std::span<std::byte> dst) EXCLUDES(mu_);
  Result<size_t> write(uint64_t addr, std::span<const std::byte> src) EXCLUDES(mu_);
  // Of an object that was loaded: gives it an empty space, in which its areas are mapped by `by`,
  // without the pages of save_pages(). `time_page`: what [vvar] shows.
  OrFailure<void> attach(Ref<platform::Space> space, platform::Thread& by,
                         const Ref<HostFd>& time_page) EXCLUDES(mu_);

  void set_break_start(uint64_t addr) EXCLUDES(mu_);
  uint64_t current_break() EXCLUDES(mu_);

  USK_FIELDS(layout, auxv, executable, executable_hold, dumpable, dump_filter, thp_disabled,
             membarrier_registered, areas_, brk_, lock_future_, peak_)

 private:
  // Holds mu_; areas that were dropped meanwhile are freed after it is released: the last count of
  // a file may be among them, and what a file does at its end takes locks of its own.
  class SCOPED_CAPABILITY Hold {
   public:
    explicit Hold(AddressSpace& mm) ACQUIRE(mm.mu_) : mm_(mm) { mm_.mu_.lock(); }
    ~Hold() RELEASE() NO_THREAD_SAFETY_ANALYSIS {
      std::vector<Vma> dropped = std::exchange(mm_.dropped_, {});
      auto deltas = std::exchange(mm_.writable_deltas_, {});
      auto areas = std::exchange(mm_.area_deltas_, {});
      mm_.mu_.unlock();
      for (auto& [file, pages] : deltas) file->count_writable_mapping(pages);
      for (auto& [file, n] : areas) file->count_areas(n);
    }
    Hold(const Hold&) = delete;

   private:
    AddressSpace& mm_;
  };
  using Areas = std::map<uint64_t, Vma>;
  static constexpr size_t kMaxAreas = 60000;  // Below the host's vm.max_map_count.

  Areas::iterator first_ending_after(uint64_t addr) REQUIRES(mu_);
  bool range_is_free(uint64_t start, uint64_t end) REQUIRES(mu_);
  // Whether areas cover [start, end) without a gap.
  bool range_is_mapped(uint64_t start, uint64_t end) REQUIRES(mu_);
  std::optional<uint64_t> find_gap(uint64_t hint, uint64_t length, uint64_t low, uint64_t top)
      REQUIRES(mu_);
  Result<uint64_t> choose_address(const MapRequest& r, uint64_t length) REQUIRES(mu_);
  Result<void> check_growth(uint64_t bytes, const Vma& kind, const MemoryLimits& limits)
      REQUIRES(mu_);
  void split_at(uint64_t addr) REQUIRES(mu_);
  void insert(Vma vma) REQUIRES(mu_);
  // The area before `tail` becomes longer.
  void extend(Vma tail) REQUIRES(mu_);
  void merge_around(uint64_t start, uint64_t end) REQUIRES(mu_);
  void erase_range(uint64_t start, uint64_t end) REQUIRES(mu_);
  Result<void> unmap_locked(platform::Thread& by, uint64_t start, uint64_t end) REQUIRES(mu_);
  static Result<Vma> prepare_shared(const MapRequest& r, uint64_t length);
  static Result<Vma> prepare(const MapRequest& r, uint64_t length);
  Result<void> map_area(platform::Thread& by, const Vma& vma, int extra_flags,
                        bool promised = false) REQUIRES(mu_);
  Result<uint64_t> grow_area(platform::Thread& by, const Vma& old, uint64_t new_length, int flags,
                             const MemoryLimits& limits) REQUIRES(mu_);
  Result<uint64_t> duplicate_shared(platform::Thread& by, const Vma& area, uint64_t addr,
                                    uint64_t length, int flags, const MemoryLimits& limits)
      REQUIRES(mu_);
  Result<uint64_t> move_area(platform::Thread& by, const Vma& old, uint64_t new_length, uint64_t to,
                             int flags) REQUIRES(mu_);
  void account(const Vma& v, bool add) REQUIRES(mu_);
  void count_area(const Vma& v, int64_t delta) REQUIRES(mu_);
  void restore_text_in(platform::Space& copy) REQUIRES(mu_);
  bool has_file(uint64_t start, uint64_t end) REQUIRES(mu_);
  // Before areas in [start, end) lose their pages or change in a way that a file's cannot: the part
  // that an image's pages are seen in becomes what the areas say, empty memory or a file's; where
  // that would cut empty memory of the host into too many mappings, it stays the image's and is
  // filled with zeros.
  Result<void> forget_image(platform::Thread& by, uint64_t start, uint64_t end) REQUIRES(mu_);
  // Moves the pages of [from, from + length), and what is known of them.
  Result<void> move_range(platform::Thread& by, const Vma& old, uint64_t length, uint64_t to,
                          int flags) REQUIRES(mu_);
  Result<void> tell_host(platform::Thread& by, uint64_t start, uint64_t end, int advice)
      REQUIRES(mu_);
  void set_space(Ref<platform::Space> space);
  Result<void> let_all_fork(platform::Thread& by, bool on) REQUIRES(mu_);
  // What the host is to know of the area's flags.
  Result<void> tell_flags(platform::Thread& by, const Vma& v) REQUIRES(mu_);
  struct Part {
    const Vma* area;
    PageRun pages;
  };
  OrFailure<std::vector<Part>> parts_of(const SavedPages& pages, const PageRun& run) REQUIRES(mu_);
  OrFailure<void> map_part(platform::Thread& by, const Vma& v, const SavedPages& pages,
                           const PageRun& part) REQUIRES(mu_);
  OrFailure<void> copy_part(const SavedPages& pages, const PageRun& part,
                            std::span<std::byte> buffer) REQUIRES(mu_);
  void expect(const PageRun& run, const Ref<PageSource>& source) REQUIRES(mu_);
  Result<void> let_in(platform::Thread& by, PageRun run, uint64_t start, uint64_t end)
      REQUIRES(mu_);
  std::optional<PageRun> first_arriving(uint64_t start, uint64_t end) REQUIRES(mu_);
  // As bring(). EIO.
  Result<bool> bring_locked(platform::Thread& by, uint64_t start, uint64_t end) REQUIRES(mu_);
  Result<void> wait_for_pages(uint64_t addr, uint64_t length) REQUIRES(mu_);
  Result<size_t> permitted(uint64_t addr, uint64_t length, int prot) REQUIRES(mu_);
  // Of an area that was saved: what it maps now.
  static OrFailure<void> find_backing(Vma& v, const Ref<HostFd>& time_page);
  OrFailure<void> map_again(const Vma& v, platform::Thread& by) REQUIRES(mu_);

  Ref<platform::Space> space_;
  Mutex<Rank::kMm> mu_;
  Areas areas_ GUARDED_BY(mu_);  // By start.
  uint64_t brk_ GUARDED_BY(mu_) = 0;
  bool lock_future_ GUARDED_BY(mu_) = false;  // mlockall(MCL_FUTURE)
  // Private memory, anonymous or of a file with pages of its own, that the host has as a private
  // mapping of an image's file, so that its pages are read when they are touched first. All else
  // sees no difference, but for who cuts off the file: those pages stay.
  RangeSet of_image_ GUARDED_BY(mu_);
  // Parts of it that nobody may access on the host, since the file does not hold them yet; by
  // address. Each lies in one area.
  std::map<uint64_t, PageRun> arriving_ GUARDED_BY(mu_);
  Ref<PageSource> source_ GUARDED_BY(mu_);    // Of those.
  std::atomic<bool> arrives_{false};          // There are some ...
  std::atomic<bool> arrived_{false};          // ... or have been.
  std::vector<Vma> dropped_ GUARDED_BY(mu_);  // See Hold.
  // Shared, writable pages of files that came or went: told to the files by Hold.
  std::vector<std::pair<Ref<File>, int64_t>> writable_deltas_ GUARDED_BY(mu_);
  // The same for areas of attachments: what an operation changes in the end.
  std::vector<std::pair<Ref<File>, int64_t>> area_deltas_ GUARDED_BY(mu_);
  MemoryTotals totals_ GUARDED_BY(mu_);  // Derived from areas_.
  uint64_t peak_ GUARDED_BY(mu_) = 0;
  // What was where a debugger has put breakpoints. The memory may be another by now: it counts only
  // where a breakpoint is still seen.
  std::map<uint64_t, std::byte> planted_ GUARDED_BY(mu_);
};

constexpr uint64_t page_down(uint64_t a) { return a & ~(platform::kPageSize - 1); }
constexpr uint64_t page_up(uint64_t a) { return page_down(a + platform::kPageSize - 1); }

}  // namespace usk
