// Which pages of a host process's memory are there: proc_pid_pagemap(5).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// PAGEMAP_SCAN, which headers of older hosts lack.
constexpr uint32_t kPagemapScan = 0xc0606610;

struct PageRun {
  uint64_t start = 0, end = 0;
};
struct FoundPages {
  std::vector<PageRun> runs;  // In order.
  uint64_t looked_to = 0;     // All that is there before is among them.
};

// Opens the process's pagemap at first use.
class Pagemap {
 public:
  // `can_scan`: the host may have PAGEMAP_SCAN (Linux 6.7).
  explicit Pagemap(bool can_scan = true) : can_scan_(can_scan) {}
  // One byte per page from `addr` on: 1 for a resident one.
  Result<void> residency(pid_t pid, uint64_t addr, std::span<uint8_t> pages);
  // Pages of [start, end) that are there: all such, or (`own`) only those whose contents are the
  // process's own and not a file's. The first ones: at most `most` runs, and what a bounded time
  // finds.
  Result<FoundPages> find(pid_t pid, uint64_t start, uint64_t end, bool own, size_t most);

 private:
  Result<int> fd(pid_t pid);
  Result<FoundPages> scan(int fd, uint64_t start, uint64_t end, bool own, size_t most);
  Result<FoundPages> look(int fd, uint64_t start, uint64_t end, bool own, size_t most);

  UniqueFd fd_;
  bool can_scan_;
};

}  // namespace usk::host
