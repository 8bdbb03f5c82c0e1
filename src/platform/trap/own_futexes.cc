// Futex calls that the threads of a space make themselves (blob/futexes.h): until they end, and
// what is known of those that sleep.
#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "host/process.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

void TrapThread::own_futexes(uint64_t time_page) {
  if (space_->shares_own_futexes()) begin_own_futexes(time_page);
}

void TrapThread::begin_own_futexes(uint64_t time_page) {
  std::atomic_ref(area().time_page).store(time_page);
  std::atomic_ref(area().own_futexes).store(1);
}

void TrapThread::end_own_futexes() { std::atomic_ref(area().own_futexes).store(0); }

void TrapThread::wait_futex(uint64_t addr, uint32_t value, uint32_t bitset, Deadline until) {
  if (state_ == State::kLost) return platform_.report(*this);
  (void)space_->settle(this);
  const uint64_t ns = until.infinite() ? uint64_t(-1) : uint64_t(std::max<int64_t>(until.ns, 0));
  const uint64_t args[6] = {addr, FUTEX_WAIT_BITSET_PRIVATE, value, ns, 0, bitset};
  memcpy(area().args, args, sizeof args);
  order(trap::Order::kWait);
}

bool TrapThread::sleeps() {
  return state_ == State::kRunning && std::atomic_ref(area().sleeps).load();
}

// The stub looks at `unwatched` after it has posted.
bool TrapThread::unwatch() {
  if (!sleeps()) return false;
  std::atomic_ref(area().unwatched).store(1);
  unwatched_ = true;
  return !std::atomic_ref(area().post).load();
}

// The stub looks at `interrupt` after it has taken `sleeps` back.
bool TrapThread::hold() {
  if (!sleeps()) return false;
  std::atomic_ref(area().interrupt).store(1);
  return sleeps();
}

std::optional<Trap> TrapThread::sleeps_in() {
  if (!sleeps()) return std::nullopt;
  // Not yet, perhaps, and it is the guest's word.
  const auto host = host::thread_state(tid_);
  if (!host || host->state != 'S') return std::nullopt;
  Trap t{.kind = Trap::Kind::kSyscall};
  t.nr = SYS_futex;
  memcpy(t.args.data(), area().args, sizeof area().args);
  return t;
}

uint64_t TrapThread::own_sleeps() {
  constexpr uint64_t kMost = 1ull << 40;
  return std::min(std::atomic_ref(area().futex_waits).load(std::memory_order_relaxed), kMost);
}

bool TrapSpace::shares_own_futexes() {
  if (futexes_ == Futexes::kUndecided) {
    // Timeouts need a clock.
    futexes_ = platform_.host_clock_gettime() ? Futexes::kOwn : Futexes::kKernel;
  }
  return futexes_ == Futexes::kOwn;
}

// Who is awake may wake who sleeps, and must not miss one that was told to ask: they stop first.
void TrapSpace::end_own_futexes(Ended ended) {
  if (futexes_ == Futexes::kKernel) return;
  const auto next = ended == Ended::kForGood ? Futexes::kKernel : Futexes::kKernelForNow;
  if (std::exchange(futexes_, next) != Futexes::kOwn) return;
  std::vector<TrapThread*> awake, asleep;
  for (TrapThread* t : threads_) {
    t->end_own_futexes();
    if (t->state() != TrapThread::State::kRunning) continue;
    (t->sleeps() ? asleep : awake).push_back(t);
  }
  if (stop(awake)) (void)stop(asleep);
}

// One that was interrupted in its sleep waits in the kernel as soon as that has heard of it. One
// that looks just now still asks: the kernel takes all back for it.
void TrapSpace::begin_own_futexes(uint64_t time_page) {
  if (futexes_ != Futexes::kKernelForNow) return;
  const bool pending = std::ranges::any_of(threads_, [](const TrapThread* t) {
    return t->was_waiting() && t->state() != TrapThread::State::kRunning;
  });
  if (pending) return;
  futexes_ = Futexes::kOwn;
  for (TrapThread* t : threads_) t->begin_own_futexes(time_page);
}

bool TrapSpace::stop(std::span<TrapThread* const> threads) {
  for (TrapThread* t : threads) t->interrupt();
  for (TrapThread* t : threads) {
    const bool stopped = platform_.wait_until(
        *t,
        [this, t] {
          platform_.take_posts();  // Who saw us poll does not tell.
          return t->state() != TrapThread::State::kRunning;
        },
        /*noticed=*/false);
    if (!stopped) return false;
  }
  return true;
}

}  // namespace usk::platform
