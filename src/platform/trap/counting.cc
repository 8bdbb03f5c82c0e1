#include "platform/trap/counting.h"

#include <sys/syscall.h>

#include <atomic>
#include <cstring>

#include "platform/trap/trap_platform.h"

namespace usk::platform {
namespace {

// What the area says is the guest's word. No thread can have got so many answers, and all that
// there ever are together do not overflow.
uint64_t told(uint64_t& count) {
  constexpr uint64_t kMost = 1ull << 40;
  return std::min(std::atomic_ref(count).load(std::memory_order_relaxed), kMost);
}
void add_told(Counters& c, TrapThread& t) {
  trap::Area& a = t.area();
  c.answered_in_stub += told(a.answered);
  c.futexes_in_stub += told(a.futex_calls);
  c.futex_waits_in_stub += told(a.futex_waits);
}

// Where the call instruction of a patched site ended, that goes on at `ip`: there, or in a thunk
// that does what the patch has taken away behind it.
uint64_t end_of_call(AreaPool& areas, uint64_t ip) {
  if (ip < USK_THUNKS || ip >= USK_THUNKS_END) return ip;
  const auto thunk = areas.thunk(uint32_t((ip - USK_THUNKS) / USK_THUNK_SIZE));
  uint64_t site;
  memcpy(&site, &thunk[USK_THUNK_SITE], sizeof site);
  return site + Regs::kSyscallLength;
}

}  // namespace

Counters TrapPlatform::counters() {
  Counters all = count;
  all.blocks_reused = areas_.reused();
  for (auto& [index, t] : by_index_) add_told(all, *t);
  return all;
}

void TrapPlatform::keep_counts(TrapThread& t) { add_told(count, t); }

void TrapThread::count_call() {
  const trap::Area& a = area();
  if (post_ == trap::Post::kSyscall) {
    platform_.count.calls_trapped++;
    platform_.sites.trapped(space_->patches()->serial, a.regs.rip, a.nr, space_->place_query());
  } else {
    platform_.count.calls_patched++;
    if (!platform_.sites.is_sampled()) return;
    const uint64_t ret = end_of_call(platform_.areas(), a.regs.rip);
    platform_.sites.patched(space_->patches()->serial, ret, a.nr, space_->place_query());
  }
}

void count_wake(Counters& c, unsigned ready, bool slept) {
  c.sleeps += slept;
  if (ready & 1) c.wakes_by_stub++;
  if (ready & 2) c.wakes_by_child++;
  if (ready & 4) c.wakes_by_fd++;
  if (!ready && slept) c.wakes_by_time++;
}

void count_stop(Counters& c, HandOff::Stop why) {
  switch (why) {
    case HandOff::Stop::kIdle: c.polls_ended_idle++; break;
    case HandOff::Stop::kEmpty: c.polls_ended_empty++; break;
    case HandOff::Stop::kCrowded: c.polls_ended_crowded++; break;
    case HandOff::Stop::kShared: c.polls_ended_shared++; break;
    case HandOff::Stop::kPreempted: c.polls_ended_preempted++; break;
    case HandOff::Stop::kAwait: c.polls_ended_await++; break;
    case HandOff::Stop::kSlower: c.polls_ended_slower++; break;
  }
}

void count_command(Counters& c, uint64_t nr) {
  switch (nr) {
    case SYS_mmap: c.mmap++; break;
    case SYS_munmap: c.munmap++; break;
    case SYS_mprotect: c.mprotect++; break;
    case SYS_mremap: c.mremap++; break;
    case SYS_madvise: c.madvise++; break;
    case trap::kCmdCopyOut: c.copy_out++; break;
    case trap::kCmdClone: c.clone++; break;
    case trap::kCmdFork: c.fork++; break;
    case trap::kCmdSaveFpu:
    case trap::kCmdRestoreFpu: c.fpu++; break;
    case trap::kCmdCompareExchange: c.compare_exchange++; break;
    default: c.other++; break;
  }
}

}  // namespace usk::platform
