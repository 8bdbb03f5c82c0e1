// The memory of a space as it is at one moment, for an image.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "mm/address_space.h"

namespace usk {

// Takes pages one after the other: those of all snapshots, in the order in which they were taken.
class PageStore {
 public:
  virtual ~PageStore() = default;
  virtual OrFailure<void> append(std::span<const std::byte> pages) = 0;
  // So many bytes are zero.
  virtual OrFailure<void> skip(uint64_t length) = 0;
};

// Writes pages to where they belong in a file that is all zeros there.
OrFailure<void> write_to_file(std::span<const std::byte> pages, const HostFd& file, uint64_t at);

// What is no other object's: private pages that were written to. Gaps between them belong to it
// where they are short, as a mapping for each page would cost more.
class MemorySnapshot {
 public:
  // Of a space whose threads are all stopped.
  explicit MemorySnapshot(Ref<AddressSpace> mm);
  // The space may run on from now on: a copy of it, made by its thread `by`, stands in for it.
  OrFailure<void> detach(platform::Platform& platform, platform::Thread& by);
  // There is no memory: its process has ended.
  void forget() { areas_.clear(); }
  // First of all that comes now, once: the pages will lie in the store from `at` on.
  OrFailure<void> find_pages(uint64_t at);
  // What lies there is zero in the store.
  void leave_out(uint64_t addr, uint64_t length) { left_out_.push_back({addr, length}); }
  // Whoever runs on with this memory needs what lies there at once.
  void is_needed_first(uint64_t addr) { needed_first_.push_back(addr); }
  // Before the space runs on or, once detached, at any time: writes about `most` bytes of pages.
  // True: there are more.
  OrFailure<bool> write_some(PageStore& store, uint64_t most);
  // All is written: the host may have the memory of the copy back.
  void end_copy() { copy_.thread.reset(), copy_.space = nullptr; }

  // Writes what of [from, to) in the store is this one's to where it belongs in a file that is all
  // zeros there.
  OrFailure<void> write_range(uint64_t from, uint64_t to, const HostFd& file);

  const Ref<AddressSpace>& mm() const { return mm_; }
  // Nobody asks for mm() any more: if it is detached, the space may go.
  void let_go() {
    if (copy_.space) mm_ = nullptr;
  }
  const std::vector<PageRun>& runs() const { return runs_; }
  // Where in the store lies what is needed first.
  std::vector<uint64_t> needed_first() const;
  // Where its pages lie in the store.
  uint64_t begin() const { return at_; }
  uint64_t end() const { return runs_.empty() ? at_ : runs_.back().at + runs_.back().length; }

 private:
  struct Area {
    uint64_t start, end;
    bool of_file;
    std::vector<RangeSet::Range> of_image;  // Written to, as far as the store is concerned.
  };
  platform::Space& space() { return copy_.space ? *copy_.space : mm_->space(); }
  OrFailure<std::vector<platform::Space::PageRun>> pages_of(const Area& area);
  OrFailure<void> add_runs(const Area& area);
  // All of it, without what is left out.
  OrFailure<void> read(uint64_t addr, std::span<std::byte> to);
  void clear_left_out(uint64_t addr, std::span<std::byte> piece) const;

  struct Bytes {
    uint64_t addr, length;
  };
  Ref<AddressSpace> mm_;
  platform::NewSpace copy_;  // Once it is detached.
  std::vector<Area> areas_;
  uint64_t at_ = 0;
  std::vector<PageRun> runs_;
  std::vector<Bytes> left_out_;
  std::vector<uint64_t> needed_first_;  // Addresses.
  size_t run_ = 0;                      // The next to be written, without its first `done_` bytes.
  uint64_t done_ = 0;
};

}  // namespace usk
