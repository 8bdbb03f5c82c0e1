// Memory of an image that is still being written (page_source.h): nothing of it is seen, by the
// guest or by the host on its behalf, before it is there.
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>

#include <algorithm>

#include "mm/address_space.h"

namespace usk {

namespace {
constexpr uint64_t kUnit = PageSource::kUnit;
// What is there already comes along with what is asked for, as far as this.
constexpr uint64_t kAlong = 1 << 20;

struct Range {
  uint64_t from, to;
};

// Of a run that is not there as a whole: the units that hold [start, end), and what lies behind.
Range next_part(const PageRun& run, uint64_t start, uint64_t end, PageSource& source) {
  const uint64_t run_end = run.addr + run.length;
  // Where a unit begins that holds an address, which the run may do behind that.
  const auto unit_of = [&](uint64_t addr) { return (run.at + (addr - run.addr)) / kUnit; };
  const auto begin_of = [&](uint64_t unit) {
    return unit * kUnit < run.at ? run.addr : run.addr + (unit * kUnit - run.at);
  };
  const uint64_t from = begin_of(unit_of(std::max(start, run.addr)));
  uint64_t to = begin_of(unit_of(std::min(end, run_end) - 1) + 1);
  while (to < run_end && to - from < kAlong && source.has(run.at + (to - run.addr), kUnit)) {
    to += kUnit;
  }
  return {from, std::min(to, run_end)};
}
}  // namespace

void AddressSpace::expect(const PageRun& run, const Ref<PageSource>& source) {
  source_ = source;
  arriving_.emplace(run.addr, run);
  arrives_.store(true, std::memory_order_relaxed);
  arrived_.store(true, std::memory_order_relaxed);
}

// Takes [start, end) out of what is arriving: a part of `run`, which is of one area.
Result<void> AddressSpace::let_in(platform::Thread& by, PageRun run, uint64_t start, uint64_t end) {
  const auto part = [&run](uint64_t from, uint64_t to) {
    return PageRun{from, to - from, run.at + (from - run.addr)};
  };
  TRY(source_->wait_for(part(start, end).at, end - start));
  const auto area = first_ending_after(start);
  if (area == areas_.end() || area->first > start) return Err(EFAULT);
  TRY(space_->protect(by, start, end - start, area->second.prot));
  by.flush_memory();  // Other threads find nothing arriving there from now on.
  arriving_.erase(run.addr);
  if (start > run.addr) arriving_.emplace(run.addr, part(run.addr, start));
  if (end < run.addr + run.length) arriving_.emplace(end, part(end, run.addr + run.length));
  if (!arriving_.empty()) return {};
  arrives_.store(false, std::memory_order_relaxed);
  source_.reset();
  return {};
}

std::optional<PageRun> AddressSpace::first_arriving(uint64_t start, uint64_t end) {
  auto it = arriving_.upper_bound(start);
  if (it != arriving_.begin() && std::prev(it)->first + std::prev(it)->second.length > start) --it;
  if (it == arriving_.end() || it->first >= end) return std::nullopt;
  return it->second;
}

Result<bool> AddressSpace::bring_locked(platform::Thread& by, uint64_t start, uint64_t end) {
  bool any = false;
  while (const auto run = first_arriving(start, end)) {
    Range part{run->addr, run->addr + run->length};
    if (!source_->has(run->at, run->length)) part = next_part(*run, start, end, *source_);
    TRY(let_in(by, *run, part.from, part.to));
    any = true;
  }
  return any;
}

bool AddressSpace::bring(platform::Thread& by, uint64_t addr, uint64_t length) {
  if (!arrives_.load(std::memory_order_relaxed)) return false;
  Hold lock(*this);
  return bring_locked(by, addr, addr + std::min(length, UINT64_MAX - addr)).value_or(false);
}

bool AddressSpace::is_missing(uint64_t addr) {
  if (!arrives_.load(std::memory_order_relaxed)) return false;
  Hold lock(*this);
  return first_arriving(addr, addr + 1).has_value();
}

// Another thread has let the page in meanwhile, and the host had not been told yet; or a saved one
// comes with the image.
bool AddressSpace::is_late(const platform::Trap& fault, uint64_t ip) {
  if (!arrived_.load(std::memory_order_relaxed)) return false;
  if (fault.kind != platform::Trap::Kind::kFault || fault.signal != SIGSEGV) return false;
  if (fault.code != SEGV_ACCERR) return false;  // There was a mapping, and no access.
  constexpr uint64_t kPageFault = 14, kWrite = 2;
  int wanted = fault.error & kWrite ? PROT_WRITE : PROT_READ;
  if (fault.number != kPageFault) wanted = PROT_READ | PROT_WRITE;  // The host did not say.
  if (fault.address == ip) wanted = PROT_EXEC;
  Hold lock(*this);
  const auto area = first_ending_after(fault.address);
  return area != areas_.end() && area->first <= fault.address &&
         (area->second.prot & wanted) == wanted;
}

Result<void> AddressSpace::bring_all(platform::Thread& by) {
  if (!arrives_.load(std::memory_order_relaxed)) return {};
  Hold lock(*this);
  TRY(bring_locked(by, 0, UINT64_MAX));
  return {};
}

// For accesses that ask for no permission, and change none.
Result<void> AddressSpace::wait_for_pages(uint64_t addr, uint64_t length) {
  const uint64_t end = addr + std::min(length, UINT64_MAX - addr);
  for (uint64_t at = addr; at < end;) {
    const auto run = first_arriving(at, end);
    if (!run) break;
    const uint64_t from = std::max(run->addr, at), to = std::min(run->addr + run->length, end);
    TRY(source_->wait_for(run->at + (from - run->addr), to - from));
    at = to;
  }
  return {};
}

// Of an access that needs permission: how many bytes from `addr` on are of one area that gives it,
// and are there. The host cannot be asked, as for it nobody may access what arrives.
Result<size_t> AddressSpace::permitted(uint64_t addr, uint64_t length, int prot) {
  const auto area = first_ending_after(addr);
  if (area == areas_.end() || area->first > addr || !(area->second.prot & prot)) return Err(EFAULT);
  const uint64_t n = std::min(length, area->second.end - addr);
  TRY(wait_for_pages(addr, n));
  return n;
}

Result<size_t> AddressSpace::read(uint64_t addr, std::span<std::byte> dst) {
  Hold lock(*this);
  if (!first_arriving(addr, addr + dst.size())) return space_->read(addr, dst);
  return space_->read_forced(addr, dst.first(TRY(permitted(addr, dst.size(), PROT_READ))));
}

Result<size_t> AddressSpace::write(uint64_t addr, std::span<const std::byte> src) {
  Hold lock(*this);
  if (!first_arriving(addr, addr + src.size())) return space_->write(addr, src);
  return space_->write_forced(addr, src.first(TRY(permitted(addr, src.size(), PROT_WRITE))));
}

}  // namespace usk
