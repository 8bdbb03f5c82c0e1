// mremap(2).
#include "mm/address_space.h"

namespace usk {

using platform::kGuestEnd;
using platform::kGuestStart;
using platform::kPageSize;

namespace {

// The host may keep as several areas what is one here: then move the halves.
Result<void> move_on_host(platform::Space& space, platform::Thread& by, uint64_t from,
                          uint64_t length, uint64_t to, int flags) {
  auto r = space.move(by, from, length, to, length, flags);
  if (r || !failed_with(r, EFAULT) || length <= kPageSize) return r;
  const uint64_t half = page_up(length / 2);
  TRY(move_on_host(space, by, from, half, to, flags));
  return move_on_host(space, by, from + half, length - half, to + half, flags);
}

// Whether `b` goes on where `a` ends, in the file as in memory.
bool continues(const Vma& a, const Vma& b) {
  return a.end == b.start && a.file == b.file && a.prot == b.prot && a.flags == b.flags &&
         a.offset + a.length() == b.offset;
}

}  // namespace

Result<uint64_t> AddressSpace::grow_area(platform::Thread& by, const Vma& old, uint64_t new_length,
                                         int flags, const MemoryLimits& limits) {
  const uint64_t more = new_length - old.length();
  if (old.has(Vma::kLocked) && totals_.locked + more > limits.memlock) return Err(EAGAIN);
  TRY(check_growth(more, old, limits));
  if (new_length <= kGuestEnd - old.start && range_is_free(old.end, old.start + new_length)) {
    Vma tail = old;
    tail.start = old.end;
    tail.end = old.start + new_length;
    tail.offset += old.length();
    tail.backing_offset += old.length();
    TRY(map_area(by, tail, 0));
    extend(std::move(tail));
    return old.start;
  }
  if (!(flags & MREMAP_MAYMOVE)) return Err(ENOMEM);
  auto to = find_gap(0, new_length, kGuestStart, layout.mmap_base);
  if (!to) return Err(ENOMEM);
  return move_area(by, old, new_length, *to, flags);
}

Result<void> AddressSpace::move_range(platform::Thread& by, const Vma& old, uint64_t length,
                                      uint64_t to, int flags) {
  const uint64_t end = old.start + length;
  uint64_t at = old.start;
  auto move_up_to = [&](uint64_t next) -> Result<void> {
    if (at < next) TRY(move_on_host(*space_, by, at, next - at, to + (at - old.start), flags));
    at = next;
    return {};
  };
  const std::vector<RangeSet::Range> of_image = of_image_.within(old.start, end);
  for (const auto& r : of_image) {
    TRY(move_up_to(r.start));
    TRY(move_up_to(r.end));
  }
  TRY(move_up_to(end));
  of_image_.erase(to, to + length);
  for (const auto& r : of_image) {
    of_image_.add(to + (r.start - old.start), to + (r.end - old.start));
  }
  // A file's pages would be seen again at the old place.
  if (flags & MREMAP_DONTUNMAP) return forget_image(by, old.start, end);
  of_image_.erase(old.start, end);
  return {};
}

Result<uint64_t> AddressSpace::move_area(platform::Thread& by, const Vma& old, uint64_t new_length,
                                         uint64_t to, int flags) {
  const uint64_t moved = std::min(old.length(), new_length);
  const int host_flags = MREMAP_MAYMOVE | MREMAP_FIXED | (flags & MREMAP_DONTUNMAP);
  if (areas_.size() >= kMaxAreas) return Err(ENOMEM);
  TRY(move_range(by, old, moved, to, host_flags));
  Vma v = old;
  v.start = to;
  v.end = to + new_length;
  if (new_length > moved) {
    Vma tail = v;
    tail.start = to + moved;
    tail.offset += moved;
    tail.backing_offset += moved;
    TRY(map_area(by, tail, 0));
    of_image_.erase(tail.start, tail.end);
  }
  erase_range(to, to + new_length);
  if (!(flags & MREMAP_DONTUNMAP)) {
    if (old.length() > moved) (void)space_->unmap(by, old.start + moved, old.length() - moved);
    of_image_.erase(old.start, old.end);
    erase_range(old.start, old.end);
  }
  if (!v.is_attachment()) {
    insert(std::move(v));
    return to;
  }
  // Linux: attachments never join, but a moved one may make its neighbour longer.
  auto next = areas_.lower_bound(to);
  if (next != areas_.begin() && continues(std::prev(next)->second, v)) {
    extend(std::move(v));
  } else if (next != areas_.end() && continues(v, next->second)) {
    account(next->second, false);
    count_area(next->second, -1);
    v.end = next->second.end;
    areas_.erase(next);
    insert(std::move(v));
  } else {
    insert(std::move(v));
  }
  return to;
}

// An old size of zero: a second view of the same shared memory.
Result<uint64_t> AddressSpace::duplicate_shared(platform::Thread& by, const Vma& area,
                                                uint64_t addr, uint64_t length, int flags,
                                                const MemoryLimits& limits) {
  if (!area.has(Vma::kShared) || !(flags & MREMAP_MAYMOVE) || (flags & MREMAP_FIXED)) {
    return Err(EINVAL);
  }
  TRY(check_growth(length, area, limits));
  auto to = find_gap(0, length, kGuestStart, layout.mmap_base);
  if (!to) return Err(ENOMEM);
  Vma v = area;
  TRY(space_->move(by, addr, 0, *to, length, MREMAP_MAYMOVE | MREMAP_FIXED));
  v.offset += addr - area.start;
  v.backing_offset += addr - area.start;
  v.start = *to;
  v.end = *to + length;
  insert(std::move(v));
  return *to;
}

Result<uint64_t> AddressSpace::remap(platform::Thread& by, uint64_t old_addr, uint64_t old_length,
                                     uint64_t new_length, int flags, uint64_t new_addr,
                                     const MemoryLimits& limits) {
  if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) return Err(EINVAL);
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE)) return Err(EINVAL);
  if (old_addr % kPageSize || new_length == 0 || new_length > kGuestEnd || old_length > kGuestEnd) {
    return Err(EINVAL);
  }
  old_length = page_up(old_length);
  new_length = page_up(new_length);
  if ((flags & MREMAP_DONTUNMAP) && old_length != new_length) return Err(EINVAL);
  if (flags & MREMAP_FIXED) {
    if (new_addr % kPageSize || new_addr < kGuestStart || new_addr > kGuestEnd ||
        new_length > kGuestEnd - new_addr) {
      return Err(EINVAL);
    }
    if (new_addr < old_addr + old_length && old_addr < new_addr + new_length) return Err(EINVAL);
  }
  Hold lock(*this);
  auto it = first_ending_after(old_addr);
  if (it == areas_.end() || it->first > old_addr) return Err(EFAULT);
  if (old_length == 0) return duplicate_shared(by, it->second, old_addr, new_length, flags, limits);
  if (it->second.end - old_addr < old_length) return Err(EFAULT);
  TRY(bring_locked(by, old_addr, old_addr + old_length));
  // The range as an area of its own.
  Vma old = it->second;
  const uint64_t skipped = old_addr - old.start;
  old.start = old_addr;
  old.offset += skipped;
  old.backing_offset += skipped;
  old.end = old_addr + old_length;
  if (flags & MREMAP_FIXED) {
    if (new_length > old_length) TRY(check_growth(new_length - old_length, old, limits));
    return move_area(by, old, new_length, new_addr, flags);
  }
  if (flags & MREMAP_DONTUNMAP) {
    TRY(check_growth(new_length, old, limits));
    auto to = find_gap(0, new_length, kGuestStart, layout.mmap_base);
    if (!to) return Err(ENOMEM);
    return move_area(by, old, new_length, *to, flags);
  }
  if (new_length == old_length) return old_addr;
  if (new_length < old_length) {
    TRY(unmap_locked(by, old_addr + new_length, old_addr + old_length));
    return old_addr;
  }
  return grow_area(by, old, new_length, flags, limits);
}

}  // namespace usk
