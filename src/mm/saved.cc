// An address space in a checkpoint.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "fs/vfs/saving.h"
#include "mm/address_space.h"

namespace usk {

using platform::kGuestEnd;
using platform::kGuestStart;
using platform::kPageSize;

USK_SAVED(AddressSpace, "mm/address_space")
USK_SAVED(ExecutableHold, "mm/executable_hold")

namespace {

std::unexpected<Failure> cannot_map(const Vma& v, Errno e) {
  return fail(fmt::format("memory at {:#x}: {}", v.start, strerror(int(e))));
}

bool is_possible(const Vma& v, uint64_t after) {
  return v.start >= std::max(after, kGuestStart) && v.start < v.end && v.end <= kGuestEnd &&
         v.start % kPageSize == 0 && v.end % kPageSize == 0 && v.offset % kPageSize == 0;
}

}  // namespace

OrFailure<Ref<ExecutableHold>> ExecutableHold::make_saved(state::Fields& in) {
  return Ref<ExecutableHold>::adopt(new ExecutableHold(TRY(in.ref<File>("file"))));
}

OrFailure<void> ExecutableHold::restored(state::Restored&) {
  if (file_->inode().deny_write_access()) return {};
  return fail("a program that is executed and open for writing");
}

Result<void> AddressSpace::tell_flags(platform::Thread& by, const Vma& v) {
  static constexpr std::pair<uint32_t, int> kTold[] = {{Vma::kDontFork, MADV_DONTFORK},
                                                       {Vma::kWipeOnFork, MADV_WIPEONFORK},
                                                       {Vma::kHuge, MADV_HUGEPAGE},
                                                       {Vma::kNoHuge, MADV_NOHUGEPAGE}};
  for (auto [flag, advice] : kTold) {
    if (v.has(flag)) TRY(space_->advise(by, v.start, v.length(), advice));
  }
  return {};
}

OrFailure<void> AddressSpace::find_backing(Vma& v, const Ref<HostFd>& time_page) {
  if (v.is_time_page()) {
    v.backing = time_page;
  } else if (v.file) {
    const int flags = v.has(Vma::kShared) ? MAP_SHARED : MAP_PRIVATE;
    // A file that was sealed since gives nobody else memory to write to, but keeps what is mapped.
    auto backing = v.file->mmap(v.offset, v.length(), v.prot & ~PROT_WRITE, flags);
    if (!backing) return cannot_map(v, backing.error());
    if (!backing->fd) return fail(fmt::format("memory at {:#x}: its file is no file", v.start));
    v.backing = std::move(backing->fd);
    v.backing_offset = backing->offset;
    if (v.has(Vma::kShared) && !(v.max_prot & PROT_WRITE)) {
      auto readonly = v.backing->readonly();
      if (!readonly) return cannot_map(v, readonly.error());
      v.backing = std::move(*readonly);
    }
  }
  return {};
}

OrFailure<void> AddressSpace::map_again(const Vma& v, platform::Thread& by) {
  if (auto mapped = map_area(by, v, 0, /*promised=*/true); !mapped)
    return cannot_map(v, mapped.error());
  if (auto told = tell_flags(by, v); !told) return cannot_map(v, told.error());
  return {};
}

OrFailure<void> AddressSpace::attach(Ref<platform::Space> space, platform::Thread& by,
                                     const Ref<HostFd>& time_page) {
  set_space(std::move(space));
  Areas areas;
  {
    Hold lock(*this);
    areas = std::exchange(areas_, {});
  }
  if (areas.size() > kMaxAreas) return fail("too many areas of memory");
  uint64_t after = 0;
  for (auto& [start, v] : areas) {  // Files have locks that go before ours.
    if (start != v.start || !is_possible(v, after)) {
      return fail(fmt::format("memory at {:#x}: no such area is possible", start));
    }
    after = v.end;
    TRY(find_backing(v, time_page));
  }
  Hold lock(*this);
  const uint64_t peak = peak_;
  for (auto& [start, v] : areas) {
    TRY(map_again(v, by));
    account(v, true);
    count_area(v, 1);
    areas_.emplace(start, std::move(v));
  }
  peak_ = std::max(peak, totals_.total);
  return {};
}

}  // namespace usk
