#include "mm/address_space.h"

#include <atomic>

#include "fs/vfs/dentry.h"
#include "fs/vfs/inode.h"
#include "mm/mapped.h"

namespace usk {

using platform::kGuestEnd;
using platform::kGuestStart;
using platform::kPageSize;

namespace {

void count(MemoryTotals& t, const Vma& v, bool add) {
  const uint64_t n = add ? v.length() : -v.length();
  t.total += n;
  if (v.private_writable() && !v.has(Vma::kGrowsDown)) t.data += n;
  if (v.has(Vma::kGrowsDown)) t.stack += n;
  if ((v.prot & PROT_EXEC) && !(v.prot & PROT_WRITE)) t.exec += n;
  if (v.has(Vma::kLocked)) t.locked += n;
}

std::atomic<uint64_t> g_mapped{0};

void count_mapped(const Vma& v, bool add) {
  if (add) {
    g_mapped += v.length();
  } else if (!v.has(Vma::kShared)) {
    g_mapped -= v.length();
  }
}

bool mergeable(const Vma& a, const Vma& b) {
  if (a.is_attachment()) return false;
  if (a.end != b.start || a.prot != b.prot || a.max_prot != b.max_prot || a.flags != b.flags ||
      a.name != b.name || a.file.get() != b.file.get()) {
    return false;
  }
  if (!a.file) return true;
  return a.offset + a.length() == b.offset && a.backing.get() == b.backing.get() &&
         a.backing_offset + a.length() == b.backing_offset;
}

platform::Space::Place place_of(const std::optional<Vma>& area, uint64_t addr) {
  if (!area) return {};
  const uint64_t offset = addr - area->start + area->offset;
  if (!area->file) return {area->name, offset};
  return {PathText::of(area->file->path(), Path()).shown(), offset};
}

}  // namespace

uint64_t mapped_bytes() { return g_mapped; }

Result<Ref<ExecutableHold>> ExecutableHold::take(Ref<File> file) {
  TRY(file->inode().deny_write_access());
  return Ref<ExecutableHold>::adopt(new ExecutableHold(std::move(file)));
}

ExecutableHold::~ExecutableHold() { file_->inode().allow_write_access(); }

AddressSpace::AddressSpace(Ref<platform::Space> space) { set_space(std::move(space)); }

void AddressSpace::set_space(Ref<platform::Space> space) {
  space_ = std::move(space);
  space_->set_code_query([this](uint64_t addr) {
    const auto area = find(addr);
    return area && (area->prot & PROT_EXEC) && !(area->prot & PROT_WRITE) &&
           !area->has(Vma::kShared);
  });
  space_->set_place_query([this](uint64_t addr) { return place_of(find(addr), addr); });
}

AddressSpace::Areas::iterator AddressSpace::first_ending_after(uint64_t addr) {
  auto it = areas_.upper_bound(addr);
  if (it != areas_.begin() && std::prev(it)->second.end > addr) --it;
  return it;
}

bool AddressSpace::range_is_free(uint64_t start, uint64_t end) {
  auto it = first_ending_after(start);
  return it == areas_.end() || it->first >= end;
}

bool AddressSpace::range_is_mapped(uint64_t start, uint64_t end) {
  for (auto it = first_ending_after(start); start < end; ++it) {
    if (it == areas_.end() || it->first > start) return false;
    start = it->second.end;
  }
  return true;
}

// Highest free range of `length` below `top`; a stack above it keeps Linux's guard gap.
std::optional<uint64_t> AddressSpace::find_gap(uint64_t hint, uint64_t length, uint64_t low,
                                               uint64_t top) {
  constexpr uint64_t kStackGuard = 256 * kPageSize;
  if (length > top - low) return std::nullopt;
  if (hint && hint >= low && hint <= top - length && range_is_free(hint, hint + length)) {
    return hint;
  }
  auto it = areas_.lower_bound(top);
  uint64_t end = top;
  for (;;) {
    if (it != areas_.end() && it->second.has(Vma::kGrowsDown)) {
      end = std::min(end, it->first > kStackGuard ? it->first - kStackGuard : 0);
    }
    const uint64_t below = it == areas_.begin() ? low : std::max(low, std::prev(it)->second.end);
    if (end >= below && end - below >= length) return end - length;
    if (it == areas_.begin()) return std::nullopt;
    --it;
    if (it->first <= low) return std::nullopt;
    end = std::min(end, it->first);
  }
}

void AddressSpace::split_at(uint64_t addr) {
  auto it = first_ending_after(addr);
  if (it == areas_.end() || it->first >= addr) return;
  Vma upper = it->second;
  const uint64_t skipped = addr - upper.start;
  upper.start = addr;
  upper.offset += skipped;
  upper.backing_offset += skipped;
  it->second.end = addr;
  count_area(upper, 1);
  areas_.emplace(addr, std::move(upper));
}

void AddressSpace::insert(Vma vma) {
  account(vma, true);
  peak_ = std::max(peak_, totals_.total);
  const uint64_t start = vma.start, end = vma.end;
  count_area(vma, 1);
  areas_.insert_or_assign(start, std::move(vma));
  merge_around(start, end);
}

void AddressSpace::extend(Vma tail) {
  auto it = areas_.lower_bound(tail.start);
  if (!tail.is_attachment() || it == areas_.begin() || (--it)->second.end != tail.start) {
    insert(std::move(tail));
    return;
  }
  account(tail, true);
  peak_ = std::max(peak_, totals_.total);
  it->second.end = tail.end;
}

void AddressSpace::merge_around(uint64_t start, uint64_t end) {
  auto it = areas_.lower_bound(start);
  if (it != areas_.begin()) --it;
  while (it != areas_.end() && it->first <= end) {
    auto next = std::next(it);
    if (next == areas_.end()) return;
    if (mergeable(it->second, next->second)) {
      it->second.end = next->second.end;
      areas_.erase(next);
    } else {
      it = next;
    }
  }
}

void AddressSpace::erase_range(uint64_t start, uint64_t end) {
  split_at(start);
  split_at(end);
  auto it = areas_.lower_bound(start);
  while (it != areas_.end() && it->first < end) {
    account(it->second, false);
    count_area(it->second, -1);
    if (it->second.file) dropped_.push_back(std::move(it->second));
    it = areas_.erase(it);
  }
}

AddressSpace::~AddressSpace() NO_THREAD_SAFETY_ANALYSIS {
  if (!space_) return;  // Loaded, never attached: nothing counts its areas.
  space_->set_code_query(nullptr);
  space_->set_place_query(nullptr);
  for (auto& [start, v] : areas_) {
    count_mapped(v, false);
    if (v.is_shared_writable()) v.file->count_writable_mapping(-int64_t(v.pages()));
    if (v.is_attachment()) v.file->count_areas(-1);
  }
}

void AddressSpace::account(const Vma& v, bool add) {
  count(totals_, v, add);
  count_mapped(v, add);
  if (v.is_shared_writable()) {
    writable_deltas_.emplace_back(v.file, add ? int64_t(v.pages()) : -int64_t(v.pages()));
  }
}

void AddressSpace::count_area(const Vma& v, int64_t delta) {
  if (!v.is_attachment()) return;
  for (auto& [file, n] : area_deltas_) {
    if (file == v.file) {
      n += delta;
      return;
    }
  }
  area_deltas_.emplace_back(v.file, delta);
}

MemoryTotals AddressSpace::totals() {
  Hold lock(*this);
  return totals_;
}

uint64_t AddressSpace::peak_total() {
  Hold lock(*this);
  return peak_;
}

std::optional<Vma> AddressSpace::find(uint64_t addr) {
  Hold lock(*this);
  auto it = first_ending_after(addr);
  if (it == areas_.end() || it->first > addr) return std::nullopt;
  return it->second;
}

bool AddressSpace::is_writable(uint64_t addr, uint64_t length) {
  Lock lock(mu_);
  const uint64_t end = addr + length;
  for (auto it = first_ending_after(addr); addr < end; ++it) {
    if (it == areas_.end() || it->first > addr || !(it->second.prot & PROT_WRITE)) return false;
    addr = it->second.end;
  }
  return true;
}

std::vector<Vma> AddressSpace::areas() {
  Hold lock(*this);
  std::vector<Vma> out;
  out.reserve(areas_.size());
  for (auto& [start, vma] : areas_) out.push_back(vma);
  return out;
}

void AddressSpace::set_break_start(uint64_t addr) {
  Hold lock(*this);
  layout.start_brk = brk_ = addr;
}

uint64_t AddressSpace::current_break() {
  Hold lock(*this);
  return brk_;
}

bool AddressSpace::grow_stack(platform::Thread& by, uint64_t addr, const MemoryLimits& limits) {
  constexpr uint64_t kGuard = 256 * kPageSize, kStep = 32 * kPageSize;
  Hold lock(*this);
  auto it = areas_.upper_bound(addr);
  if (it == areas_.end() || !it->second.has(Vma::kGrowsDown)) return false;
  Vma grown = it->second;
  if (addr >= grown.start || grown.end - page_down(addr) > limits.stack) return false;
  // Some pages at once, where the limit and the neighbour below allow it.
  uint64_t floor = kGuestStart;
  if (it != areas_.begin()) floor = std::prev(it)->second.end + kGuard;
  const uint64_t lowest = grown.end - std::min(page_down(limits.stack), grown.end - kGuestStart);
  floor = std::max(floor, lowest);
  const uint64_t need = page_down(addr);
  if (need < floor) return false;
  Vma extension = grown;
  extension.start = std::max(floor, std::min(need, grown.start - std::min(kStep, grown.start)));
  extension.end = grown.start;
  if (totals_.total + extension.length() > limits.as) return false;
  if (!map_area(by, extension, 0)) return false;
  insert(std::move(extension));
  return true;
}

Result<Ref<AddressSpace>> AddressSpace::fork(Ref<platform::Space> space, platform::Thread& child) {
  auto copy = make_ref<AddressSpace>(std::move(space));
  copy->layout = layout;
  copy->auxv = auxv;
  copy->executable = executable;
  copy->executable_hold = executable_hold;
  copy->dumpable = dumpable;
  copy->dump_filter = dump_filter;
  copy->thp_disabled = thp_disabled;
  copy->membarrier_registered = membarrier_registered;
  std::vector<std::pair<Ref<File>, uint64_t>> shared;
  std::vector<Ref<File>> attached;
  std::vector<RangeSet::Range> left_out;
  {
    LockBoth lock(mu_, copy->mu_);
    for (auto& [start, vma] : areas_) {
      if (vma.has(Vma::kDontFork)) {  // The host left it out, too.
        left_out.push_back({vma.start, vma.end});
        continue;
      }
      Vma v = vma;
      v.flags &= ~Vma::kLocked;  // mlock(2): locks are not inherited.
      count(copy->totals_, v, true);
      if (!v.has(Vma::kShared)) count_mapped(v, true);  // What is shared is there once.
      if (v.is_shared_writable()) shared.emplace_back(v.file, v.pages());
      if (v.is_attachment()) attached.push_back(v.file);
      copy->areas_.emplace(start, std::move(v));
    }
    copy->of_image_ = of_image_;
    copy->brk_ = brk_;
    restore_text_in(copy->space());
    copy->peak_ = copy->totals_.total;
  }
  for (auto& [file, pages] : shared) file->count_writable_mapping(int64_t(pages));
  for (auto& file : attached) file->count_areas(1);
  Hold lock(*copy);
  for (const auto& r : left_out) copy->of_image_.erase(r.start, r.end);
  for (auto& [start, vma] : copy->areas_) {
    if (vma.has(Vma::kWipeOnFork)) TRY(copy->forget_image(child, vma.start, vma.end));
  }
  return copy;
}

}  // namespace usk
