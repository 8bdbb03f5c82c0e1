// How an address space comes by its patched call sites, and hides them.
#include <algorithm>
#include <atomic>

#include "host/file_io.h"
#include "host/process.h"
#include "platform/trap/space.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

// Nobody else of the space may run code that is about to change. They are asked to stop when the
// site has trapped often and the space was never found quiet. Who sleeps may go on sleeping.
bool TrapSpace::stop_others(const TrapThread& by, bool force) {
  std::vector<TrapThread*> running;
  for (TrapThread* t : threads_) {
    if (t == &by || t->state() != TrapThread::State::kRunning || t->hold()) continue;
    running.push_back(t);
  }
  constexpr size_t kMost = 64;
  if (!running.empty() && (!force || running.size() > kMost)) return false;
  return stop(running);
}

// A site that a relative of the process has patched pays from its second call here on.
uint32_t TrapSpace::is_hot(uint64_t ret) {
  constexpr uint32_t kFirst = 2;
  return patches_->knows(ret) ? known_hits_.hit(ret, kFirst) : patches_->is_hot(ret);
}

void TrapSpace::consider_patch(TrapThread& by, uint64_t ret, uint32_t nr) {
  constexpr uint64_t kBefore = kPatchSize + 1, kAfter = 6;
  constexpr uint32_t kForce = 64;
  if (ret < kGuestStart + 64 || ret >= kGuestEnd - 64) return;
  const uint32_t hits = is_hot(ret);
  if (!hits) return;
  std::array<std::byte, kBefore + kAfter> code;
  auto n = host::process_read(pid_, ret - kBefore, code);
  if (!n || *n < kBefore) return;
  const auto read = std::span(code).first(*n);
  const auto shape = shape_of(read.first(kBefore), read.subspan(kBefore), nr);
  if (!shape) platform_.count.sites_not_patchable++;
  if (!shape || !is_private_code_) return;
  const uint64_t site = shape->site(ret);
  if (!is_private_code_(site) || !is_private_code_(site + kPatchSize - 1)) return;
  if (!stop_others(by, hits >= kForce)) return;
  const auto original = read.subspan(site - (ret - kBefore)).first<kPatchSize>();
  const auto* s = patches_->add(site, *shape, original);
  auto memory = memory_fd();
  if (!s || !memory) return;
  platform_.count.sites_patched++;
  (void)host::pwrite(*memory, s->patched, site);
}

bool TrapSpace::is_patched(uint64_t site) {
  const auto* s = patches_->find(site);
  if (!s) return false;
  if (verified_.contains(site)) return true;
  std::array<std::byte, kPatchSize> code;
  auto n = host::process_read(pid_, site, code);
  if (!n || *n != code.size() || code != s->patched) return false;
  verified_.insert(site);
  return true;
}

void TrapSpace::code_changes(uint64_t addr, uint64_t length) {
  if (!patches_->touches(addr, length)) return;
  for (uint64_t site : patches_->within(addr, length)) verified_.erase(site);
}

uint64_t TrapSpace::entry_address(const Regs& r) {
  const auto entry = patches_->entry(r.rip, r.rax);
  return entry && is_patched(entry->site) ? entry->addr : r.rip;
}

void TrapSpace::unpatch(uint64_t addr, uint64_t length) {
  if (!patches_->touches(addr, length)) return;
  auto memory = memory_fd();
  for (uint64_t site : patches_->within(addr, length)) {
    if (!memory || !is_patched(site)) continue;
    verified_.erase(site);
    const auto& s = *patches_->find(site);
    (void)host::pwrite(*memory, s.original, site);
    for (TrapThread* t : threads_) t->leave_tail(patches_->tail(s), s.shape.ret(site));
  }
}

}  // namespace usk::platform
