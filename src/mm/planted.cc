// Breakpoints of a debugger in the text of a program.
#include "mm/address_space.h"

namespace usk {
namespace {
constexpr std::byte kBreakpoint{0xcc};

std::span<const std::byte> one(const std::byte& byte) { return std::span(&byte, 1); }

// Whether a breakpoint is there still, and not other memory since.
bool shows_breakpoint(platform::Space& space, uint64_t addr) {
  std::byte now{};
  return space.read_forced(addr, std::span(&now, 1)).has_value() && now == kBreakpoint;
}
}  // namespace

// EEXIST; EACCES: what others share would change as well.
Result<void> AddressSpace::plant(uint64_t addr) {
  const auto area = find(addr);
  if (!area) return Err(EFAULT);
  if (area->has(Vma::kShared)) return Err(EACCES);
  Hold hold(*this);
  std::byte original{};
  TRY(space_->read_forced(addr, std::span(&original, 1)));
  if (planted_.contains(addr) && original == kBreakpoint) return Err(EEXIST);
  TRY(space_->write_forced(addr, one(kBreakpoint)));
  planted_[addr] = original;
  return {};
}

void AddressSpace::unplant(uint64_t addr) {
  Hold hold(*this);
  const auto it = planted_.find(addr);
  if (it == planted_.end()) return;
  if (shows_breakpoint(*space_, addr)) (void)space_->write_forced(addr, one(it->second));
  planted_.erase(it);
}

bool AddressSpace::is_planted(uint64_t addr) {
  Hold hold(*this);
  return planted_.contains(addr) && shows_breakpoint(*space_, addr);
}

void AddressSpace::lift(uint64_t addr) {
  Hold hold(*this);
  const auto it = planted_.find(addr);
  if (it != planted_.end()) (void)space_->write_forced(addr, one(it->second));
}

void AddressSpace::lower(uint64_t addr) {
  Hold hold(*this);
  if (planted_.contains(addr)) (void)space_->write_forced(addr, one(kBreakpoint));
}

Result<size_t> AddressSpace::read_forced(uint64_t addr, std::span<std::byte> dst) {
  Hold hold(*this);
  TRY(wait_for_pages(addr, dst.size()));
  const size_t n = TRY(space_->read_forced(addr, dst));
  for (auto it = planted_.lower_bound(addr); it != planted_.end() && it->first - addr < n; ++it) {
    std::byte& shown = dst[it->first - addr];
    if (shown == kBreakpoint) shown = it->second;
  }
  return n;
}

Result<size_t> AddressSpace::write_forced(uint64_t addr, std::span<const std::byte> src) {
  Hold hold(*this);
  TRY(wait_for_pages(addr, src.size()));
  if (planted_.empty()) return space_->write_forced(addr, src);
  std::vector<std::byte> bytes(src.begin(), src.end());
  std::vector<std::pair<uint64_t, std::byte>> changed;
  for (auto it = planted_.lower_bound(addr); it != planted_.end() && it->first - addr < src.size();
       ++it) {
    if (!shows_breakpoint(*space_, it->first)) continue;
    changed.emplace_back(it->first, src[it->first - addr]);
    bytes[it->first - addr] = kBreakpoint;
  }
  const size_t n = TRY(space_->write_forced(addr, bytes));
  for (auto [at, byte] : changed) {
    if (at - addr < n) planted_[at] = byte;
  }
  return n;
}

void AddressSpace::restore_text_in(platform::Space& copy) {
  for (auto& [addr, original] : planted_) {
    if (shows_breakpoint(copy, addr)) (void)copy.write_forced(addr, one(original));
  }
}

}  // namespace usk
