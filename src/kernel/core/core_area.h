// What of each area of memory goes into a core file: core(5), "Controlling which mappings are
// written to the core dump".
#pragma once
#include "mm/address_space.h"

namespace usk {

// Bits of /proc/PID/coredump_filter.
enum CoreFilter : uint32_t {
  kDumpAnonPrivate = 1,
  kDumpAnonShared = 2,
  kDumpFilePrivate = 4,
  kDumpFileShared = 8,
  kDumpElfHeaders = 16,
  kDumpFilterBits = 0x1ff,  // The rest is about memory that is not there.
};

// One area and how much of it, from its start, is in the file.
class CoreArea {
 public:
  CoreArea() = default;
  explicit CoreArea(Vma vma) : vma_(std::move(vma)) {}

  // Decides by `filter`; false: to be called again, as a large area takes its time to look through.
  bool plan(AddressSpace& mm, uint32_t filter);
  // The first data of [at, end()) and its end; what lies before is a hole. An empty run: the same
  // as AddressSpace::next_pages().
  platform::Space::PageRun next_data(AddressSpace& mm, uint64_t at);

  const Vma& vma() const { return vma_; }
  uint64_t length() const { return length_; }
  uint64_t end() const { return vma_.start + length_; }

  USK_FIELDS(vma_, length_, source_, looked_, data_)

 private:
  enum class Source { kAll, kWrittenPages, kThere, kFile };

  bool plan_private(AddressSpace& mm, uint32_t filter);
  void plan_shared(uint32_t filter);
  // All of it, as far as its file reaches.
  void take_all();
  platform::Space::PageRun next_file_data(uint64_t at);

  Vma vma_;
  uint64_t length_ = 0;
  Source source_ = Source::kAll;
  uint64_t looked_ = 0;  // How far it was looked for pages that were written to.
  Ref<File> data_;       // kFile: a description of its own, whose position tells data from holes.
};

}  // namespace usk
