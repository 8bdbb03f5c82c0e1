// A guest address space on the trap platform: one stub process.
#pragma once
#include <sys/types.h>

#include <span>
#include <unordered_set>
#include <vector>

#include "host/pagemap.h"
#include "platform/platform.h"
#include "platform/trap/patches.h"
#include "platform/trap/thread.h"

namespace usk::platform {

class TrapSpace final : public Space {
 public:
  TrapSpace(TrapPlatform& platform, Ref<Patches> patches)
      : platform_(platform), patches_(std::move(patches)) {}
  ~TrapSpace() override;

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
  bool has_own_futexes() const override { return futexes_ == Futexes::kOwn; }
  void end_own_futexes(Ended ended) override;
  bool ended_own_futexes_for_now() const override { return futexes_ == Futexes::kKernelForNow; }
  bool ended_own_futexes_for_good() const override { return futexes_ == Futexes::kKernel; }
  void begin_own_futexes(uint64_t time_page) override;
  // A thread that is new here may make such calls itself, unless none may.
  bool shares_own_futexes();

  pid_t pid() const { return pid_; }  // 0: not known yet, or lost.
  void set_pid(pid_t pid) { pid_ = pid; }
  bool lost() const { return lost_; }
  const std::vector<TrapThread*>& threads() const { return threads_; }
  void add_thread(TrapThread& t) {
    threads_made_++;
    threads_.push_back(&t);
  }
  bool has_had_more_threads() const { return threads_made_ > 1; }
  void remove_thread(TrapThread& t);
  // Every thread of it is lost: the process has ended.
  void lose();
  // Commands that change mappings are made before another thread is given any, or goes on, and
  // before memory is read.
  Result<void> settle(const TrapThread* by);
  // The thread whose commands of that kind may not have been made yet.
  void set_unsettled(TrapThread* t) { unsettled_ = t; }
  // What calls have left to their threads to copy out is there before anybody else touches that
  // memory on behalf of the guest. Its other threads may look before: the calls have not returned.
  Result<void> settle_copies(uint64_t addr, uint64_t length, const TrapThread* by);
  void add_copying(TrapThread& t);
  void remove_copying(TrapThread& t) { std::erase(copying_, &t); }
  // Kills the process, whose guest cannot be trusted to go on.
  void kill(const char* why);

  // --- Patched call sites.
  void set_code_query(CodeQuery q) override { is_private_code_ = std::move(q); }
  void set_place_query(PlaceQuery q) override { place_ = std::move(q); }
  const PlaceQuery& place_query() const { return place_; }
  const Ref<Patches>& patches() const { return patches_; }
  // `by` trapped at the call instruction before `ret`: patches it once that pays.
  void consider_patch(TrapThread& by, uint64_t ret, uint32_t nr);
  bool is_patched(uint64_t site);
  // Where code goes on that is to go on with these registers, which may be within a patched site.
  uint64_t entry_address(const Regs& r);

  // --- Slots of areas: the block that holds `slot` is mapped at its place in this process.
  struct Block {
    uint32_t number;  // In the memory file.
    uint32_t used;    // Areas that were ever in use.
  };
  std::vector<Block> blocks;  // By place; number UINT32_MAX: not mapped.
  uint32_t index_of(uint32_t slot) const;
  // A slot that no thread uses; a new block is mapped for it by `by` when there is none.
  Result<uint32_t> take_slot(TrapThread& by);
  void release_slot(uint32_t slot) { free_slots_.push_back(slot); }
  // A thread was told to end, or is said not to have come to be.
  void doubt_thread() { doubted_threads_++; }
  // Before one more is made: waits for those to be gone. Fails where they do not go.
  Result<void> count_threads();
  // Host threads between two guest threads. False: there are enough.
  bool keep_idle(const IdleThread& t);
  std::optional<IdleThread> take_idle();
  // Until areas_are_kept(), a copy of the process might have areas of it, too.
  void doubt_areas() { areas_kept_ = false; }
  // Before `by` forks: no child of it will, which is certain once the fork has been asked for.
  Result<void> keep_areas(TrapThread& by);
  void areas_are_kept() { areas_kept_ = true; }
  // The only slot of a fresh process, in a block of its own.
  Result<void> take_first_slot(uint32_t slot);

 private:
  Result<void> map_file(TrapThread& by, const Mapping& m, StubCall c, bool may_wait);
  Result<int> memory_fd();
  // For commands on that memory.
  Result<void> settle_range(const TrapThread* by, uint64_t addr, uint64_t length);
  // Puts the original code back: somebody is about to change or move it.
  void unpatch(uint64_t addr, uint64_t length);
  // Asks all of these to stop and waits for it. False: the process is lost.
  bool stop(std::span<TrapThread* const> threads);
  bool stop_others(const TrapThread& by, bool force);
  uint32_t is_hot(uint64_t ret);
  // Its pages are about to be others.
  void code_changes(uint64_t addr, uint64_t length);

  TrapPlatform& platform_;
  const Ref<Patches> patches_;
  CodeQuery is_private_code_;
  PlaceQuery place_;
  std::unordered_set<uint64_t> verified_;  // Sites that are patched for certain.
  HitCounts<64> known_hits_;               // Of sites that relatives have patched.
  pid_t pid_ = 0;
  bool lost_ = false;
  // Who makes calls with private futexes.
  enum class Futexes { kUndecided, kOwn, kKernelForNow, kKernel } futexes_ = Futexes::kUndecided;
  std::vector<TrapThread*> threads_;
  uint64_t threads_made_ = 0;
  uint64_t doubted_threads_ = 0;  // Since they were counted last, and those that there were then.
  TrapThread* unsettled_ = nullptr;
  std::vector<TrapThread*> copying_;  // Have something to copy out.
  std::vector<IdleThread> idle_;
  std::vector<uint32_t> free_slots_;  // Their last thread may still be ending.
  uint32_t next_slot_ = 0;
  bool areas_kept_ = true;
  UniqueFd memory_;
  host::Pagemap pagemap_;
  int barriers_ = 0;  // membarrier(2) commands the stub is registered for.
};

}  // namespace usk::platform
