// mprotect(2), madvise(2), msync(2), mincore(2), mlock(2).
#include "mm/address_space.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace usk {

using platform::kGuestEnd;
using platform::kPageSize;

namespace {

// End of a page-aligned range as these calls take it; `error` when it wraps or leaves the space.
Result<uint64_t> range_end(uint64_t addr, uint64_t length, int error) {
  if (addr % kPageSize) return Err(EINVAL);
  if (length > kGuestEnd || addr > kGuestEnd - page_up(length)) return Err(error);
  return addr + page_up(length);
}

using Areas = std::map<uint64_t, Vma>;

// Whether `at` lies within an area.
bool is_cut_by(const Areas& areas, uint64_t at) {
  auto it = areas.lower_bound(at);
  return it != areas.begin() && std::prev(it)->second.end > at;
}

// Linux: attachments never join, but what an operation cut off one side of an area may go to the
// area on that side. Whether that is so at `at`, and it went.
bool give_cut(Areas& areas, uint64_t at) {
  auto it = areas.find(at);
  if (it == areas.end() || it == areas.begin() || !it->second.is_attachment()) return false;
  Vma& a = std::prev(it)->second;
  const Vma& b = it->second;
  if (a.end != at || a.file != b.file || a.prot != b.prot || a.flags != b.flags ||
      a.offset + a.length() != b.offset) {
    return false;
  }
  a.end = b.end;
  areas.erase(it);
  return true;
}

}  // namespace

Result<void> AddressSpace::protect(platform::Thread& by, uint64_t addr, uint64_t length, int prot) {
  const bool grow_down = prot & PROT_GROWSDOWN;
  prot &= ~PROT_GROWSDOWN;
  if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | 8 /* PROT_SEM */)) return Err(EINVAL);
  prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
  uint64_t end = TRY(range_end(addr, length, ENOMEM));
  if (end == addr) return {};
  Hold lock(*this);
  if (grow_down) {
    auto it = first_ending_after(addr);
    if (it == areas_.end() || it->first > addr || !it->second.has(Vma::kGrowsDown)) {
      return Err(EINVAL);
    }
    addr = it->first;
  }
  TRY(bring_locked(by, addr, end));
  if (!range_is_mapped(addr, end)) return Err(ENOMEM);
  if (areas_.size() >= kMaxAreas) return Err(ENOMEM);
  for (auto it = first_ending_after(addr); it != areas_.end() && it->first < end; ++it) {
    if (prot & ~it->second.max_prot) return Err(EACCES);
  }
  TRY(space_->protect(by, addr, end - addr, prot));
  // Linux: an area that has the protection already is not cut.
  if (auto it = first_ending_after(addr); it->first < addr && it->second.prot == prot) {
    addr = std::min(it->second.end, end);
  }
  if (auto it = first_ending_after(end);
      addr < end && it != areas_.end() && it->first < end && it->second.prot == prot) {
    end = it->first;
  }
  if (addr >= end) return {};
  const bool front = is_cut_by(areas_, addr), back = is_cut_by(areas_, end);
  split_at(addr);
  split_at(end);
  for (auto it = areas_.lower_bound(addr); it != areas_.end() && it->first < end;) {
    Vma v = it->second;
    it = std::next(it);
    erase_range(v.start, v.end);
    v.prot = prot;
    const uint64_t at = v.start;
    insert(std::move(v));
    it = areas_.upper_bound(at);
  }
  // What was cut off at the front may go to the area after it, at the back to the one before.
  const Vma first = first_ending_after(addr)->second;
  const Vma last = first_ending_after(end - 1)->second;
  if (first.start == addr && first.end == end && front && back) return {};
  if (front && first.start == addr && give_cut(areas_, first.end)) count_area(first, -1);
  if (back && last.end == end && give_cut(areas_, last.start)) count_area(last, -1);
  return {};
}

// Not of pages that are an image's for the host: fork() wipes those, and what was given back is
// zero, where the host would show the file again.
Result<void> AddressSpace::tell_host(platform::Thread& by, uint64_t start, uint64_t end,
                                     int advice) {
  if (advice == MADV_WIPEONFORK || advice == MADV_DONTNEED || advice == MADV_FREE) {
    for (const auto& r : of_image_.within(start, end)) {
      if (start < r.start) TRY(space_->advise(by, start, r.start - start, advice));
      start = r.end;
    }
  }
  if (start == end) return {};
  return space_->advise(by, start, end - start, advice);
}

bool AddressSpace::has_file(uint64_t start, uint64_t end) {
  for (auto it = first_ending_after(start); it != areas_.end() && it->first < end; ++it) {
    if (it->second.file) return true;
  }
  return false;
}

Result<void> AddressSpace::forget_image(platform::Thread& by, uint64_t start, uint64_t end) {
  constexpr size_t kManyCuts = 4096;
  constexpr uint64_t kSmall = 1 << 20;
  for (const auto& r : of_image_.within(start, end)) {
    if (of_image_.size() >= kManyCuts && r.end - r.start < kSmall && !has_file(r.start, r.end)) {
      const std::vector<std::byte> zeros(r.end - r.start);
      const size_t n = TRY(space_->write_forced(r.start, zeros));
      if (n != zeros.size()) return Err(EFAULT);
      continue;
    }
    for (auto it = first_ending_after(r.start); it != areas_.end() && it->first < r.end; ++it) {
      Vma part = it->second;
      part.start = std::max(part.start, r.start);
      part.end = std::min(part.end, r.end);
      part.backing_offset += part.start - it->second.start;
      TRY(map_area(by, part, 0));
      TRY(tell_flags(by, part));
    }
    of_image_.erase(r.start, r.end);
  }
  return {};
}

Result<void> AddressSpace::advise(platform::Thread& by, uint64_t addr, uint64_t length,
                                  int advice) {
  uint32_t set = 0, clear = 0;
  bool says_host = true;
  switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_FREE:
    case MADV_DONTNEED:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_REMOVE:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE: break;
    case MADV_HUGEPAGE: set = Vma::kHuge, clear = Vma::kNoHuge; break;
    case MADV_NOHUGEPAGE: set = Vma::kNoHuge, clear = Vma::kHuge; break;
    case MADV_DONTFORK: set = Vma::kDontFork; break;
    case MADV_DOFORK: clear = Vma::kDontFork; break;
    case MADV_WIPEONFORK: set = Vma::kWipeOnFork; break;
    case MADV_KEEPONFORK: clear = Vma::kWipeOnFork; break;
    case MADV_DONTDUMP: set = Vma::kDontDump, says_host = false; break;
    case MADV_DODUMP: clear = Vma::kDontDump, says_host = false; break;
    default: return Err(EINVAL);
  }
  const uint64_t end = TRY(range_end(addr, length, EINVAL));
  if (end == addr) return {};
  Hold lock(*this);
  TRY(bring_locked(by, addr, end));
  const bool whole = range_is_mapped(addr, end);
  for (auto it = first_ending_after(addr); it != areas_.end() && it->first < end; ++it) {
    const Vma& v = it->second;
    const bool discards = advice == MADV_DONTNEED || advice == MADV_FREE;
    if (discards && v.has(Vma::kLocked)) return Err(EINVAL);
    if (advice == MADV_FREE && (v.file || v.has(Vma::kShared))) return Err(EINVAL);
    if (advice == MADV_WIPEONFORK && (v.file || v.has(Vma::kShared))) return Err(EINVAL);
    const uint64_t from = std::max(addr, v.start), to = std::min(end, v.end);
    if (advice == MADV_REMOVE && !v.file) return Err(EINVAL);
    if (discards) TRY(forget_image(by, from, to));
    if (says_host) TRY(tell_host(by, from, to, advice));
  }
  if (set || clear) {
    split_at(addr);
    split_at(end);
    for (auto it = areas_.lower_bound(addr); it != areas_.end() && it->first < end; ++it) {
      it->second.flags = (it->second.flags & ~clear) | set;
    }
    merge_around(addr, end);
  }
  if (!whole) return Err(ENOMEM);
  return {};
}

Result<void> AddressSpace::sync(platform::Thread& by, uint64_t addr, uint64_t length, int flags) {
  if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) return Err(EINVAL);
  if ((flags & MS_ASYNC) && (flags & MS_SYNC)) return Err(EINVAL);
  const uint64_t end = TRY(range_end(addr, length, ENOMEM));
  if (end == addr) return {};
  Hold lock(*this);
  const bool whole = range_is_mapped(addr, end);
  for (auto it = first_ending_after(addr); it != areas_.end() && it->first < end; ++it) {
    const Vma& v = it->second;
    if ((flags & MS_INVALIDATE) && v.has(Vma::kLocked)) return Err(EBUSY);
    if (!v.file || !v.has(Vma::kShared)) continue;
    const uint64_t from = std::max(addr, v.start), to = std::min(end, v.end);
    TRY(space_->sync(by, from, to - from, flags & ~MS_INVALIDATE));
  }
  if (!whole) return Err(ENOMEM);
  return {};
}

Result<std::vector<uint8_t>> AddressSpace::residency(uint64_t addr, uint64_t length) {
  if (addr % kPageSize) return Err(EINVAL);
  if (length > kGuestEnd || addr > kGuestEnd - page_up(length)) return Err(ENOMEM);
  const uint64_t end = addr + page_up(length);
  Hold lock(*this);
  if (!range_is_mapped(addr, end)) return Err(ENOMEM);
  std::vector<uint8_t> pages((end - addr) / kPageSize);
  TRY(space_->residency(addr, pages));
  for (const auto& r : of_image_.within(addr, end)) {
    std::fill(pages.begin() + long((r.start - addr) / kPageSize),
              pages.begin() + long((r.end - addr) / kPageSize), uint8_t(1));
  }
  return pages;
}

Result<platform::Space::PageRun> AddressSpace::next_pages(uint64_t start, uint64_t end,
                                                          platform::Space::Pages which) {
  Hold lock(*this);
  const auto found = TRY(space_->find_pages(start, end, which, 1));
  const uint64_t to = found.looked_to;
  auto run = found.runs.empty() ? platform::Space::PageRun{to, to} : found.runs.front();
  const RangeSet::Range of_image = of_image_.first(start, end);
  if (of_image.start == end) return run;
  if (of_image.start <= run.start) return platform::Space::PageRun{of_image.start, of_image.end};
  run.end = std::min(run.end, of_image.start);
  return run;
}

std::vector<RangeSet::Range> AddressSpace::of_image(uint64_t start, uint64_t end) {
  Hold lock(*this);
  return of_image_.within(start, end);
}

Result<void> AddressSpace::set_locked(uint64_t addr, uint64_t length, bool locked,
                                      const MemoryLimits& limits) {
  const uint64_t start = page_down(addr);
  if (length > kGuestEnd || addr > kGuestEnd - length) return Err(EINVAL);
  const uint64_t end = page_up(addr + length);
  if (start == end) return {};
  Hold lock(*this);
  if (!range_is_mapped(start, end)) return Err(ENOMEM);
  uint64_t added = 0;
  for (auto it = first_ending_after(start); it != areas_.end() && it->first < end; ++it) {
    const Vma& v = it->second;
    if (!v.has(Vma::kLocked)) added += std::min(end, v.end) - std::max(start, v.start);
  }
  if (locked && (added > limits.memlock || totals_.locked > limits.memlock - added)) {
    return Err(limits.memlock ? ENOMEM : EPERM);
  }
  split_at(start);
  split_at(end);
  for (auto it = areas_.lower_bound(start); it != areas_.end() && it->first < end; ++it) {
    Vma& v = it->second;
    if (v.has(Vma::kLocked) == locked) continue;
    v.flags ^= Vma::kLocked;
    totals_.locked += locked ? v.length() : -v.length();
  }
  merge_around(start, end);
  return {};
}

Result<void> AddressSpace::set_all_locked(bool locked, bool future, const MemoryLimits& limits) {
  Hold lock(*this);
  if (locked && totals_.total > limits.memlock) return Err(limits.memlock ? ENOMEM : EPERM);
  lock_future_ = future;
  for (auto& [start, v] : areas_) {
    if (v.has(Vma::kLocked) == locked) continue;
    v.flags ^= Vma::kLocked;
  }
  totals_.locked = locked ? totals_.total : 0;
  return {};
}

Result<void> AddressSpace::set_name(uint64_t addr, uint64_t length, std::string name) {
  const uint64_t end = TRY(range_end(addr, length, ENOMEM));
  Hold lock(*this);
  if (!range_is_mapped(addr, end)) return Err(ENOMEM);
  split_at(addr);
  split_at(end);
  for (auto it = areas_.lower_bound(addr); it != areas_.end() && it->first < end; ++it) {
    if (it->second.file && !it->second.has(Vma::kAnonymous)) return Err(EBADF);
    it->second.name = name;
  }
  merge_around(addr, end);
  return {};
}

}  // namespace usk
