// What a debugger reads and changes: memory, registers, breakpoints.
#include <cstring>

#include "kernel/debug/session.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/registers.h"

namespace usk {
namespace {

constexpr size_t kMostPlanted = 4096;

// Debug register 7, Intel SDM volume 3, chapter 18.
uint64_t control_bits(size_t number, DebugSession::Access access, uint64_t length) {
  const uint64_t size = length == 8 ? 2 : length - 1;
  return 1ull << (2 * number) | uint64_t(access) << (16 + 4 * number) | size << (18 + 4 * number);
}

// The longest part of [addr, addr + length) from `addr` on that one register can watch.
uint64_t watchable(uint64_t addr, uint64_t length) {
  uint64_t n = 8;
  while (n > length || addr % n) n /= 2;
  return n;
}

}  // namespace

Result<size_t> DebugSession::read(uint64_t addr, std::span<std::byte> dst) {
  if (!mm_) return Err(ESRCH);
  for (Task* t : threads()) t->cpu->flush_memory();
  return mm_->read_forced(addr, dst);
}

Result<size_t> DebugSession::write(uint64_t addr, std::span<const std::byte> src) {
  if (!mm_) return Err(ESRCH);
  for (Task* t : threads()) t->cpu->flush_memory();
  return mm_->write_forced(addr, src);
}

Regs DebugSession::registers(Task& t) {
  if (const auto& wanted = threads_[&t].wanted) return *wanted;
  Regs regs = t.cpu->regs();
  if (t.state.id() == StateId::kSyscallReinvoke) regs.set_result(-kERESTARTSYS);
  return regs;
}

Result<void> DebugSession::check_writable(Task& t) {
  switch (t.state.id()) {
    case StateId::kApp:
    case StateId::kSyscallReinvoke:
    case StateId::kInterruptAfterSignalDeliveryStop: return {};
    default: return Err(EBUSY);
  }
}

Result<void> DebugSession::set_registers(Task& t, const Regs& regs) {
  TRY(check_writable(t));
  if (t.state.id() != StateId::kSyscallReinvoke) return put_registers(t, regs);
  // Nothing of the call is lost before it is known what comes of it.
  const Regs of_call = t.cpu->regs();
  auto ok = set_general_registers(t, std::as_bytes(std::span(&regs, 1)));
  const Regs wanted = std::exchange(t.cpu->regs(), of_call);
  TRY(ok);
  Thread& th = threads_[&t];
  th.wanted.reset();
  const Regs shown = registers(t);
  if (memcmp(&shown, &wanted, sizeof shown) != 0) th.wanted = wanted;
  return {};
}

Result<void> DebugSession::put_registers(Task& t, const Regs& regs) {
  TRY(set_general_registers(t, std::as_bytes(std::span(&regs, 1))));
  Regs& now = t.cpu->regs();
  Thread& th = threads_[&t];
  const bool restarts = now.syscall_nr() >= 0 && now.result() == -kERESTARTSYS;
  if (restarts && th.ended_call) now.set_result(*std::exchange(th.ended_call, std::nullopt));
  // The result may be one that only the way through the signals makes an end of.
  t.interrupted = true;
  return {};
}

std::optional<siginfo_t> DebugSession::signal_info(Task& t) {
  Lock lock(task_mutex);
  if (!threads_[&t].signal) return std::nullopt;
  return t.tracing.signal_shown;
}

Result<void> DebugSession::plant(uint64_t addr) {
  if (!mm_) return Err(ESRCH);
  if (planted_.size() >= kMostPlanted) return Err(ENOSPC);
  auto ok = mm_->plant(addr);
  if (!ok && ok.error() != Errno(EEXIST)) return ok;
  planted_.insert(addr);
  return {};
}

void DebugSession::unplant(uint64_t addr) {
  if (mm_ && planted_.erase(addr)) mm_->unplant(addr);
}

Result<void> DebugSession::watch(uint64_t addr, uint64_t length, Access access) {
  if (length == 0 || length > 8 * watches_.size() || addr >= platform::kGuestEnd) {
    return Err(EINVAL);
  }
  const auto before = watches_;
  while (length > 0) {
    const uint64_t n = access == Access::kExecute ? 1 : watchable(addr, length);
    const auto free = std::find(watches_.begin(), watches_.end(), std::nullopt);
    if (free == watches_.end()) {
      watches_ = before;
      return Err(ENOSPC);
    }
    *free = Watch{addr, n, access};
    addr += n;
    length -= n;
  }
  auto ok = give_watches();
  if (!ok) {
    watches_ = before;
    (void)give_watches();
  }
  return ok;
}

void DebugSession::unwatch(uint64_t addr, uint64_t length, Access access) {
  for (auto& w : watches_) {
    if (w && w->access == access && w->addr - addr < length) w.reset();
  }
  (void)give_watches();
}

Result<void> DebugSession::give_watches() {
  watch_generation_++;
  for (Task* t : threads()) {
    TRY(give_watches_to(*t));
    threads_[t].watches = watch_generation_;
  }
  return {};
}

Result<void> DebugSession::give_watches_to(Task& t) {
  std::array<uint64_t, 4> addresses{};
  uint64_t control = 0;
  for (size_t i = 0; i < watches_.size(); i++) {
    if (!watches_[i]) continue;
    addresses[i] = watches_[i]->addr;
    control |= control_bits(i, watches_[i]->access, watches_[i]->length);
  }
  t.cpu->set_debug_status(0);
  return t.cpu->set_debug_registers(addresses, control);
}

}  // namespace usk
