// mmap(2), munmap(2), brk(2).
#include "mm/address_space.h"

namespace usk {

using platform::kGuestEnd;
using platform::kGuestStart;
using platform::kPageSize;

namespace {

constexpr int kProtBits = PROT_READ | PROT_WRITE | PROT_EXEC;

// The access the file was opened with decides what a mapping of it may ever become.
Result<int> max_prot_of(const File& file, int prot, bool shared) {
  if (!file.can(File::kRead)) return Err(EACCES);
  if (!shared) return kProtBits;
  if (!file.can(File::kWrite) || (file.flags() & O_ACCMODE) == O_RDONLY) {
    if (prot & PROT_WRITE) return Err(EACCES);
    return PROT_READ | PROT_EXEC;
  }
  return kProtBits;
}

}  // namespace

Result<uint64_t> AddressSpace::choose_address(const MapRequest& r, uint64_t length) {
  if (r.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
    if (r.addr % kPageSize) return Err(EINVAL);
    if (r.addr > kGuestEnd || length > kGuestEnd - r.addr) return Err(ENOMEM);
    if (r.addr < kGuestStart) return Err(EPERM);  // Linux: vm.mmap_min_addr
    if ((r.flags & MAP_FIXED_NOREPLACE) && !range_is_free(r.addr, r.addr + length)) {
      return Err(EEXIST);
    }
    return r.addr;
  }
  const uint64_t hint = page_down(r.addr);
  const bool low_only = r.flags & MAP_32BIT;
  const uint64_t top = low_only ? 0x80000000 : layout.mmap_base;
  const uint64_t low = low_only ? 0x40000000 : kGuestStart;
  if (hint >= kGuestStart && !low_only && length <= kGuestEnd && hint <= kGuestEnd - length &&
      range_is_free(hint, hint + length)) {
    return hint;
  }
  if (auto gap = find_gap(0, length, low, top)) return *gap;
  if (auto gap = find_gap(0, length, kGuestStart, kGuestEnd); gap && !low_only) return *gap;
  return Err(ENOMEM);
}

Result<void> AddressSpace::check_growth(uint64_t bytes, const Vma& kind,
                                        const MemoryLimits& limits) {
  if (bytes > limits.as || totals_.total > limits.as - bytes) return Err(ENOMEM);
  if (kind.private_writable() && !kind.has(Vma::kGrowsDown) &&
      (bytes > limits.data || totals_.data > limits.data - bytes)) {
    return Err(ENOMEM);
  }
  if (kind.has(Vma::kLocked) &&
      (bytes > limits.memlock || totals_.locked > limits.memlock - bytes)) {
    return Err(EAGAIN);
  }
  if (areas_.size() >= kMaxAreas) return Err(ENOMEM);
  return {};
}

// Shared anonymous memory is a file without a name, as it is on Linux.
Result<Vma> AddressSpace::prepare_shared(const MapRequest& r, uint64_t length) {
  if (!r.make_shared) return Err(ENODEV);
  MapRequest with_file = r;
  with_file.file = TRY(r.make_shared(length));
  with_file.offset = 0;
  with_file.make_shared = nullptr;
  Vma v = TRY(prepare(with_file, length));
  v.flags |= Vma::kAnonymous;
  return v;
}

Result<Vma> AddressSpace::prepare(const MapRequest& r, uint64_t length) {
  const int type = r.flags & MAP_TYPE;
  Vma v;
  v.prot = r.prot & kProtBits;
  v.max_prot = kProtBits;
  v.name = r.name;
  if (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) v.flags |= Vma::kShared;
  if (r.flags & MAP_NORESERVE) v.flags |= Vma::kNoReserve;
  if (r.flags & MAP_LOCKED) v.flags |= Vma::kLocked;
  if (r.file) {
    v.max_prot = TRY(max_prot_of(*r.file, r.prot, v.has(Vma::kShared)));
    MmapBacking backing = TRY(r.file->mmap(r.offset, length, r.prot, r.flags));
    if (!backing.writable && v.has(Vma::kShared)) v.max_prot &= ~PROT_WRITE;
    if (backing.fd) {
      // Guest code that has got hold of its stub may mprotect(2) what the host permits.
      if (v.has(Vma::kShared) && !(v.max_prot & PROT_WRITE)) {
        backing.fd = TRY(backing.fd->readonly());
      }
      v.file = r.file;
      v.offset = r.offset;
      v.backing = std::move(backing.fd);
      v.backing_offset = backing.offset;
      return v;
    }
  }
  if (r.memory) {
    v.backing = r.memory;
    v.flags |= Vma::kTimePage;
    v.max_prot = PROT_READ;
    return v;
  }
  if (r.flags & MAP_GROWSDOWN) v.flags |= Vma::kGrowsDown;
  return v.has(Vma::kShared) ? prepare_shared(r, length) : v;
}

Result<void> AddressSpace::map_area(platform::Thread& by, const Vma& v, int extra_flags,
                                    bool promised) {
  // Linux: PROT_WRITE or PROT_EXEC pages of x86 are readable; the host does the same.
  return space_->map(
      by, {.addr = v.start,
           .length = v.length(),
           .prot = v.prot,
           .flags = (v.has(Vma::kShared) ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE | extra_flags,
           .fd = v.backing.get(),
           .offset = v.backing_offset,
           .for_all = v.is_time_page(),
           .promised = promised});
}

namespace {

// What is that large is hardly asked for to be left alone for the most part. Stacks and
// reservations are.
bool deserves_huge_pages(const Vma& v, int flags) {
  constexpr uint64_t kLarge = 8 << 20;
  constexpr int kSparse = MAP_STACK | MAP_NORESERVE | MAP_GROWSDOWN;
  return !v.file && !v.backing && v.length() >= kLarge && v.private_writable() &&
         !(flags & kSparse);
}

}  // namespace

Result<uint64_t> AddressSpace::map(platform::Thread& by, const MapRequest& r,
                                   const MemoryLimits& limits) {
  if (r.length == 0) return Err(EINVAL);
  if (r.length > kGuestEnd) return Err(ENOMEM);
  const uint64_t length = page_up(r.length);
  if (r.offset + length < r.offset) return Err(EOVERFLOW);
  const int type = r.flags & MAP_TYPE;
  if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE) {
    return Err(EINVAL);
  }
  // MAP_SHARED_VALIDATE refuses what it does not know, and MAP_SYNC, which needs DAX.
  constexpr int kKnown = MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE |
                         MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |
                         MAP_STACK | MAP_HUGETLB | MAP_32BIT | MAP_FIXED_NOREPLACE |
                         (63 << MAP_HUGE_SHIFT);
  if (type == MAP_SHARED_VALIDATE && (r.flags & ~kKnown)) return Err(EOPNOTSUPP);
  if (r.flags & MAP_HUGETLB) return Err(ENOMEM);  // No huge pages are reserved.
  Vma vma = TRY(prepare(r, length));              // Asks the file: before the lock.
  Hold lock(*this);
  const uint64_t addr = TRY(choose_address(r, length));
  if (lock_future_) vma.flags |= Vma::kLocked;
  vma.start = addr;
  vma.end = addr + length;
  TRY(check_growth(length, vma, limits));
  TRY(map_area(by, vma, r.flags & (MAP_POPULATE | MAP_NONBLOCK)));
  // As a host does that gives them to everybody. One that has none says so, and nothing is lost.
  if (!thp_disabled && deserves_huge_pages(vma, r.flags)) {
    (void)space_->advise(by, addr, length, MADV_HUGEPAGE);
  }
  of_image_.erase(addr, addr + length);
  erase_range(addr, addr + length);
  insert(std::move(vma));
  return addr;
}

Result<void> AddressSpace::unmap_locked(platform::Thread& by, uint64_t start, uint64_t end) {
  TRY(bring_locked(by, start, end));
  TRY(space_->unmap(by, start, end - start));
  of_image_.erase(start, end);
  erase_range(start, end);
  return {};
}

Result<void> AddressSpace::unmap(platform::Thread& by, uint64_t addr, uint64_t length) {
  // What lies between the last guest address and Linux's is never mapped, but may be unmapped.
  constexpr uint64_t kLinuxEnd = (uint64_t(1) << 47) - kPageSize;
  if (addr % kPageSize || length == 0 || addr > kLinuxEnd || length > kLinuxEnd - addr) {
    return Err(EINVAL);
  }
  Hold lock(*this);
  const uint64_t start = std::max(addr, kGuestStart);
  const uint64_t end = std::min(addr + page_up(length), kGuestEnd);
  if (start >= end || range_is_free(start, end)) return {};
  if (areas_.size() >= kMaxAreas + 8) return Err(ENOMEM);  // A split would add one.
  return unmap_locked(by, start, end);
}

// Linux: the first attachment at or above `addr` whose segment would begin there, though its first
// pages may be gone; then every area of it in the place of the segment.
Result<void> AddressSpace::detach(platform::Thread& by, uint64_t addr) {
  if (addr % kPageSize) return Err(EINVAL);
  Hold lock(*this);
  auto belongs = [&](const Vma& v) { return v.is_attachment() && v.start - v.offset == addr; };
  auto it = areas_.lower_bound(addr);
  while (it != areas_.end() && !belongs(it->second)) ++it;
  if (it == areas_.end()) return Err(EINVAL);
  const Ref<File> file = it->second.file;
  const uint64_t end = addr + page_up(file->segment_size());
  TRY(unmap_locked(by, it->first, it->second.end));
  for (it = areas_.lower_bound(addr); it != areas_.end() && it->second.end <= end;) {
    const uint64_t from = it->first, to = it->second.end;
    if (belongs(it->second) && it->second.file == file) TRY(unmap_locked(by, from, to));
    it = areas_.lower_bound(to);
  }
  return {};
}

uint64_t AddressSpace::set_break(platform::Thread& by, uint64_t addr, const MemoryLimits& limits) {
  Hold lock(*this);
  if (addr < layout.start_brk || addr >= kGuestEnd) return brk_;
  const uint64_t old_end = page_up(brk_), new_end = page_up(addr);
  if (new_end < old_end) {
    if (!unmap_locked(by, new_end, old_end)) return brk_;
  } else if (new_end > old_end) {
    Vma vma{.start = old_end, .end = new_end, .prot = PROT_READ | PROT_WRITE};
    vma.max_prot = kProtBits;
    vma.name = "[heap]";
    if (lock_future_) vma.flags |= Vma::kLocked;
    if (!range_is_free(old_end, new_end + kPageSize) || !check_growth(vma.length(), vma, limits) ||
        !map_area(by, vma, 0)) {
      return brk_;
    }
    insert(std::move(vma));
  }
  return brk_ = addr;
}

}  // namespace usk
