// How an address space comes by its patched call sites, and hides them.
#include "host/file_io.h"
#include "host/process.h"
#include "platform/trap/space.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

// Nobody else of the space runs code that is about to change.
bool TrapSpace::alone(const TrapThread& by) const {
  for (const TrapThread* t : threads_) {
    if (t != &by && t->state() == TrapThread::State::kRunning) return false;
  }
  return true;
}

void TrapSpace::consider_patch(TrapThread& by, uint64_t ret, uint32_t nr) {
  if (ret < kGuestStart + 64 || ret >= kGuestEnd || !patches_->is_hot(ret) || !alone(by)) return;
  std::array<std::byte, kPatchSize + 1> code;
  auto n = host::process_read(pid_, ret - code.size(), code);
  if (!n || *n != code.size()) return;
  const auto shape = shape_of(code, nr);
  shape ? platform_.count.sites_patched++ : platform_.count.sites_not_patchable++;
  const uint64_t site = ret - kPatchSize;
  if (!shape || !is_private_code_ || !is_private_code_(site) || !is_private_code_(ret - 1)) return;
  const auto* s = patches_->add(site, *shape, std::span(code).last<kPatchSize>());
  auto memory = memory_fd();
  if (s && memory) (void)host::pwrite(*memory, s->patched, site);
}

bool TrapSpace::is_patched(uint64_t site) {
  const auto* s = patches_->find(site);
  if (!s) return false;
  std::array<std::byte, kPatchSize> code;
  auto n = host::process_read(pid_, site, code);
  return n && *n == code.size() && code == s->patched;
}

uint64_t TrapSpace::restart_address(const Regs& r) {
  constexpr uint64_t kInside = kPatchSize - Regs::kSyscallLength;
  const auto* s = patches_->find(r.rip - kInside);
  if (!s || (s->shape.kind == SiteShape::kNumber && s->shape.nr != r.rax)) return r.rip;
  return is_patched(r.rip - kInside) ? r.rip - kInside : r.rip;
}

void TrapSpace::unpatch(uint64_t addr, uint64_t length) {
  for (uint64_t site : patches_->within(addr, length)) {
    auto memory = memory_fd();
    if (memory && is_patched(site)) {
      (void)host::pwrite(*memory, patches_->find(site)->original, site);
    }
  }
}

}  // namespace usk::platform
