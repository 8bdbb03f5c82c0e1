#include "host/pagemap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "host/call.h"
#include "host/file_io.h"
#include "host/open.h"

namespace usk::host {
namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kAtOnce = 4096;  // Pages found, or looked at, in one call.

// An entry's bits.
constexpr uint64_t kFileOrShared = 1ull << 61, kSwapped = 1ull << 62, kPresent = 1ull << 63;

// What PAGEMAP_SCAN takes.
struct ScanRegion {
  uint64_t start, end, categories;
};
struct ScanArg {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
static_assert(sizeof(ScanArg) == 96);
static_assert(kPagemapScan == _IOWR('f', 16, ScanArg));
constexpr uint64_t kIsFile = 1 << 2, kIsPresent = 1 << 3, kIsSwapped = 1 << 4, kIsZero = 1 << 5;

bool is_there(uint64_t entry, bool own) {
  return (entry & (kPresent | kSwapped)) && !(own && (entry & kFileOrShared));
}

}  // namespace

Result<int> Pagemap::fd(pid_t pid) {
  if (!fd_) fd_ = TRY(open_proc(fmt::format("{}/pagemap", pid), O_RDONLY));
  return fd_.get();
}

Result<void> Pagemap::residency(pid_t pid, uint64_t addr, std::span<uint8_t> pages) {
  const int from = TRY(fd(pid));
  std::vector<uint64_t> entries(std::min(pages.size(), kAtOnce));
  for (size_t done = 0; done < pages.size(); done += entries.size()) {
    const size_t n = std::min(entries.size(), pages.size() - done);
    const auto bytes = std::as_writable_bytes(std::span(entries.data(), n));
    TRY(pread(from, bytes, (addr / kPage + done) * 8));
    for (size_t i = 0; i < n; i++) pages[done + i] = entries[i] & kPresent ? 1 : 0;
  }
  return {};
}

Result<FoundPages> Pagemap::find(pid_t pid, uint64_t start, uint64_t end, bool own, size_t most) {
  const int from = TRY(fd(pid));
  if (can_scan_) {
    auto found = scan(from, start, end, own, most);
    if (found || !failed_with(found, ENOTTY)) return found;
    can_scan_ = false;
  }
  return look(from, start, end, own, most);
}

Result<FoundPages> Pagemap::scan(int from, uint64_t start, uint64_t end, bool own, size_t most) {
  constexpr size_t kMostRegions = 1024;
  std::vector<ScanRegion> regions(std::min(most, kMostRegions));
  ScanArg arg{};
  arg.size = sizeof arg;
  arg.start = start;
  arg.end = end;
  arg.vec = reinterpret_cast<uint64_t>(regions.data());
  arg.vec_len = regions.size();
  arg.max_pages = kAtOnce;
  arg.category_anyof_mask = kIsPresent | kIsSwapped;
  arg.category_inverted = arg.category_mask = own ? kIsFile | kIsZero : kIsZero;
  arg.return_mask = kIsPresent;
  const int n = int(guarded(SYS_ioctl, from, kPagemapScan, &arg));
  if (n < 0) return Err(errno);
  FoundPages found{.runs = {}, .looked_to = arg.walk_end};
  for (int i = 0; i < n; i++) found.runs.push_back({regions[i].start, regions[i].end});
  return found;
}

Result<FoundPages> Pagemap::look(int from, uint64_t start, uint64_t end, bool own, size_t most) {
  std::array<uint64_t, kAtOnce> entries;
  const size_t n = std::min<uint64_t>((end - start) / kPage, kAtOnce);
  const auto bytes = std::as_writable_bytes(std::span(entries.data(), n));
  const size_t got = TRY(pread(from, bytes, start / kPage * 8)) / 8;
  if (got == 0) return FoundPages{.runs = {}, .looked_to = end};
  const auto known = std::span(entries).first(got);
  const auto there = [own](uint64_t entry) { return is_there(entry, own); };
  FoundPages found;
  auto at = known.begin();
  while (at != known.end() && found.runs.size() < most) {
    const auto first = std::find_if(at, known.end(), there);
    at = std::find_if_not(first, known.end(), there);
    if (first == at) break;
    found.runs.push_back({start + uint64_t(first - known.begin()) * kPage,
                          start + uint64_t(at - known.begin()) * kPage});
  }
  found.looked_to = start + uint64_t(at - known.begin()) * kPage;
  return found;
}

}  // namespace usk::host
