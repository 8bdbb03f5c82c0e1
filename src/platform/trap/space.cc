#include "platform/trap/space.h"

#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "base/log.h"
#include "host/file_io.h"
#include "host/process.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

using namespace host;

namespace {

TrapThread& as_trap(Thread& t) { return static_cast<TrapThread&>(t); }

// Ranges come checked from the area map; this is the last fence before the stub's own pages.
bool in_guest(uint64_t addr, uint64_t length) {
  return addr < kGuestEnd && length <= kGuestEnd - addr;
}

template <class Bytes>
Result<Bytes> within_guest(uint64_t addr, Bytes bytes) {
  if (addr >= kGuestEnd) return Err(EFAULT);
  return bytes.first(std::min<uint64_t>(bytes.size(), kGuestEnd - addr));
}

}  // namespace

TrapSpace::~TrapSpace() {
  TrapPlatform::Ending e;
  for (const Block& b : blocks) {
    if (b.number != UINT32_MAX) e.blocks.emplace_back(b.number, b.used);
  }
  platform_.end_process(lost_ ? 0 : pid_, std::move(e));
}

void TrapSpace::remove_thread(TrapThread& t) {
  std::erase(threads_, &t);
  if (unsettled_ == &t) unsettled_ = nullptr;
  remove_copying(t);
}

// Of a guest that sleeps in a call, too: it would be found out when the call ends, if ever.
void TrapSpace::lose() {
  lost_ = true;
  for (TrapThread* t : threads_) {
    const bool running = t->state() == TrapThread::State::kRunning;
    t->lose();
    if (running || t->owner) platform_.report(*t);
  }
  pid_ = 0;  // The host may give the number to anybody now.
}

void TrapSpace::kill(const char* why) {
  if (lost_) return;
  LOG_INFO("a stub process is killed: {}", why);
  platform_.count.stubs_killed++;
  kill_process(pid_, SIGKILL);
}

uint32_t TrapSpace::index_of(uint32_t slot) const {
  return blocks[slot / USK_AREAS_PER_BLOCK].number * USK_AREAS_PER_BLOCK +
         slot % USK_AREAS_PER_BLOCK;
}

Result<void> TrapSpace::take_first_slot(uint32_t slot) {
  const auto block = platform_.areas().take_block();
  if (!block) return Err(EAGAIN);
  const uint32_t place = slot / USK_AREAS_PER_BLOCK;
  blocks.assign(place + 1, {UINT32_MAX, 0});
  blocks[place] = {*block, USK_AREAS_PER_BLOCK};
  for (uint32_t s = place * USK_AREAS_PER_BLOCK; s < (place + 1) * USK_AREAS_PER_BLOCK; s++) {
    if (s != slot) free_slots_.push_back(s);
  }
  next_slot_ = (place + 1) * USK_AREAS_PER_BLOCK;
  return {};
}

Result<uint32_t> TrapSpace::take_slot(TrapThread& by) {
  for (size_t i = free_slots_.size(); i-- > 0;) {
    const uint32_t slot = free_slots_[i];
    if (platform_.areas().area(index_of(slot)).alive) continue;  // Its thread is still ending.
    free_slots_.erase(free_slots_.begin() + i);
    platform_.count.slots_reused++;
    return slot;
  }
  if (next_slot_ >= USK_MAX_SLOTS) return Err(EAGAIN);
  const auto block = platform_.areas().take_block();
  if (!block) return Err(EAGAIN);
  const uint64_t place = next_slot_ / USK_AREAS_PER_BLOCK;
  const uint64_t at = USK_AREAS + place * USK_BLOCK_SIZE;
  TRY(by.call_later({SYS_mmap,
                     {at, USK_BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 0,
                      AreaPool::file_offset(*block)}}));
  const auto mapped = by.call({SYS_madvise, {at, USK_BLOCK_SIZE, MADV_DONTFORK}});
  if (!mapped) {
    kill("its areas could not be mapped");
    return std::unexpected(mapped.error());
  }
  blocks.resize(place + 1, {UINT32_MAX, 0});
  blocks[place] = {*block, USK_AREAS_PER_BLOCK};
  const uint32_t first = next_slot_;
  next_slot_ += USK_AREAS_PER_BLOCK;
  for (uint32_t s = next_slot_ - 1; s > first; s--) free_slots_.push_back(s);
  return first;
}

bool TrapSpace::keep_idle(const IdleThread& t) {
  constexpr size_t kMostIdle = 16;
  if (lost_ || idle_.size() == kMostIdle) return false;
  idle_.push_back(t);
  return true;
}

std::optional<IdleThread> TrapSpace::take_idle() {
  while (!idle_.empty()) {
    const IdleThread t = idle_.back();
    idle_.pop_back();
    // Nothing but a guest that has got hold of it can have ended it.
    if (host::send_thread_signal(pid_, t.tid, 0)) return t;
    platform_.areas().area(index_of(t.slot)).alive = 0;
    release_slot(t.slot);
  }
  return std::nullopt;
}

Result<void> TrapSpace::settle(const TrapThread* by) {
  if (!unsettled_ || unsettled_ == by) return {};
  return std::exchange(unsettled_, nullptr)->settle();
}

void TrapSpace::add_copying(TrapThread& t) {
  if (std::ranges::find(copying_, &t) == copying_.end()) copying_.push_back(&t);
}

Result<void> TrapSpace::settle_copies(uint64_t addr, uint64_t length, const TrapThread* by) {
  const auto in_the_way = [&](TrapThread* t) { return t != by && t->copies_to(addr, length); };
  for (;;) {
    const auto it = std::ranges::find_if(copying_, in_the_way);
    if (it == copying_.end()) return {};
    TrapThread& t = **it;
    TRY(t.settle());
    t.forget_copied_out();
  }
}

Result<void> TrapSpace::settle_range(const TrapThread* by, uint64_t addr, uint64_t length) {
  TRY(settle(by));
  return settle_copies(addr, length, by);
}

Result<void> TrapSpace::map(Thread& by, const Mapping& m) {
  if (!in_guest(m.addr, m.length)) return Err(ENOMEM);
  TRY(settle_range(&as_trap(by), m.addr, m.length));
  code_changes(m.addr, m.length);
  StubCall c{SYS_mmap, {m.addr, m.length, uint64_t(m.prot), uint64_t(m.flags) | MAP_FIXED}};
  // Only a large one may be too much for the host, and is to be told so.
  constexpr uint64_t kLarge = 64 << 20;
  if (m.fd) return map_file(as_trap(by), m, c, m.length <= kLarge);
  c.args[3] |= MAP_ANONYMOUS;
  c.args[4] = uint64_t(-1);
  if ((m.flags & MAP_SHARED) || m.length > kLarge) {
    TRY(as_trap(by).call(c));
    return {};
  }
  return as_trap(by).call_later(c);
}

// The first mapping of a file says whether the host permits it; later ones need not be waited for.
Result<void> TrapSpace::map_file(TrapThread& by, const Mapping& m, StubCall c, bool may_wait) {
  auto* everybodys =
      m.flags & MAP_PRIVATE && !m.own_file ? platform_.files().find(*m.fd, m.for_all) : nullptr;
  const bool executes = m.prot & PROT_EXEC;
  c.args[5] = m.offset;
  const bool known = everybodys && everybodys->installed && everybodys->mappable &&
                     (everybodys->executable || !executes);
  // The thread makes its calls in their order.
  const bool promised =
      m.promised && everybodys && (everybodys->installed || everybodys->promised_by == &by);
  if (may_wait && (known || promised)) {
    c.args[4] = uint64_t(everybodys->fd);
    return by.call_later(c);
  }
  c.args[4] = USK_STUB_FILE_FD;
  c.file = m.fd;
  if (everybodys && !everybodys->installed) c.keep_as = everybodys->fd;
  if (may_wait && m.promised) {
    if (everybodys) everybodys->promised_by = &by;
    if (everybodys && !everybodys->installed && by.brings(*m.fd, everybodys->fd)) {
      c.args[4] = uint64_t(everybodys->fd);
      c.file = nullptr, c.keep_as = -1;
    }
    return by.call_later(c);
  }
  TRY(by.call(c));
  if (everybodys) everybodys->mappable = true, everybodys->executable |= executes;
  return {};
}

Result<void> TrapSpace::unmap(Thread& by, uint64_t addr, uint64_t length) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(settle_range(&as_trap(by), addr, length));
  code_changes(addr, length);
  return as_trap(by).call_later({SYS_munmap, {addr, length}});
}

Result<void> TrapSpace::protect(Thread& by, uint64_t addr, uint64_t length, int prot) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(settle_range(&as_trap(by), addr, length));
  if (prot & PROT_WRITE) unpatch(addr, length);  // It may write there without our knowing.
  return as_trap(by).call_later({SYS_mprotect, {addr, length, uint64_t(prot)}});
}

Result<void> TrapSpace::move(Thread& by, uint64_t from, uint64_t length, uint64_t to,
                             uint64_t new_length, int flags) {
  if (!in_guest(from, length) || !in_guest(to, new_length)) return Err(EINVAL);
  TRY(settle_range(&as_trap(by), from, length));
  TRY(settle_copies(to, new_length, &as_trap(by)));
  unpatch(from, length);
  code_changes(to, new_length);
  TRY(as_trap(by).call({SYS_mremap, {from, length, new_length, uint64_t(flags), to}}));
  return {};
}

Result<void> TrapSpace::advise(Thread& by, uint64_t addr, uint64_t length, int advice) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(settle_range(&as_trap(by), addr, length));
  const StubCall c{SYS_madvise, {addr, length, uint64_t(advice)}};
  // The area map has checked all that the host would.
  const bool large = advice == MADV_HUGEPAGE && platform_.host_has_huge_pages;
  if (advice == MADV_DONTNEED || advice == MADV_FREE || large) return as_trap(by).call_later(c);
  TRY(as_trap(by).call(c));
  if (advice == MADV_HUGEPAGE) platform_.host_has_huge_pages = true;
  return {};
}

Result<void> TrapSpace::sync(Thread& by, uint64_t addr, uint64_t length, int flags) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(settle_range(&as_trap(by), addr, length));
  TRY(as_trap(by).call({SYS_msync, {addr, length, uint64_t(flags)}}));
  return {};
}

Result<size_t> TrapSpace::read(uint64_t addr, std::span<std::byte> dst) {
  TRY(settle_range(nullptr, addr, dst.size()));
  auto n = process_read(pid_, addr, TRY(within_guest(addr, dst)));
  platform_.count.in_by_host++, platform_.count.in_by_host_bytes += n.value_or(0);
  if (n) patches_->hide(addr, dst.first(*n));
  return n;
}

Result<size_t> TrapSpace::write(uint64_t addr, std::span<const std::byte> src) {
  TRY(settle_range(nullptr, addr, src.size()));
  unpatch(addr, src.size());
  auto n = process_write(pid_, addr, TRY(within_guest(addr, src)));
  platform_.count.out_by_host++, platform_.count.out_by_host_bytes += n.value_or(0);
  return n;
}

Result<int> TrapSpace::memory_fd() {
  platform_.count.forced++;
  if (!memory_) memory_ = TRY(open_process_memory(pid_));
  return memory_.get();
}

Result<size_t> TrapSpace::read_forced(uint64_t addr, std::span<std::byte> dst) {
  TRY(settle_range(nullptr, addr, dst.size()));
  auto n = host::pread(TRY(memory_fd()), TRY(within_guest(addr, dst)), addr);
  if (!n || *n == 0) return Err(EFAULT);
  patches_->hide(addr, dst.first(*n));
  return n;
}

Result<size_t> TrapSpace::write_forced(uint64_t addr, std::span<const std::byte> src) {
  TRY(settle_range(nullptr, addr, src.size()));
  unpatch(addr, src.size());
  auto n = host::pwrite(TRY(memory_fd()), TRY(within_guest(addr, src)), addr);
  if (!n || *n == 0) return Err(EFAULT);
  return n;
}

Result<uint32_t> TrapSpace::compare_exchange(Thread& by, uint64_t addr, uint32_t expected,
                                             uint32_t desired) {
  if (!in_guest(addr, sizeof(uint32_t))) return Err(EFAULT);
  TRY(settle_range(&as_trap(by), addr, sizeof(uint32_t)));
  return uint32_t(TRY(as_trap(by).call({trap::kCmdCompareExchange, {addr, expected, desired}})));
}

Result<void> TrapSpace::barrier(Thread& by, int command) {
  TrapThread& thread = as_trap(by);
  // The host wants a registration first; it is one for the whole process and kept.
  if (command != MEMBARRIER_CMD_GLOBAL && !(barriers_ & command)) {
    TRY(thread.call({SYS_membarrier, {uint64_t(command) << 1}}));
    barriers_ |= command;
  }
  TRY(thread.call({SYS_membarrier, {uint64_t(command)}}));
  return {};
}

Result<void> TrapSpace::register_rseq(Thread& by, uint64_t addr, uint32_t length, int flags,
                                      uint32_t signature, When when) {
  if (!in_guest(addr, length)) return Err(EFAULT);
  // The area may lie in memory that another was to map.
  TRY(settle_range(&as_trap(by), addr, length));
  const StubCall c{SYS_rseq, {addr, length, uint64_t(flags), signature}};
  constexpr int kUnregister = 1;
  constexpr uint32_t kUsual = 32;  // A length that no host refuses, if it has the call at all.
  if (flags == 0 && length == kUsual && platform_.host_has_rseq) {
    TRY(when == When::kNow ? as_trap(by).call_later(c) : as_trap(by).call_before_it_runs(c));
  } else {
    TRY(as_trap(by).call(c));
    platform_.host_has_rseq = true;
  }
  as_trap(by).set_rseq(flags & kUnregister ? trap::Rseq{} : trap::Rseq{addr, length, signature});
  return {};
}

Result<void> TrapSpace::residency(uint64_t addr, std::span<uint8_t> pages) {
  TRY(settle_range(nullptr, addr, pages.size() * kPageSize));
  return pagemap_.residency(pid_, addr, pages);
}

Result<Space::FoundPages> TrapSpace::find_pages(uint64_t start, uint64_t end, Pages which,
                                                size_t most) {
  TRY(settle_range(nullptr, start, end - start));
  return pagemap_.find(pid_, start, end, which == Pages::kOwn, most);
}

uint64_t TrapSpace::resident_bytes() {
  auto usage = process_usage(pid_);
  return usage ? usage->resident_pages * kPageSize : 0;
}

}  // namespace usk::platform
