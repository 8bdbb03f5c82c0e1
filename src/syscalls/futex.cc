// futex(2), futex_waitv(2).
#include "kernel/futex/futex.h"

#include <fmt/format.h>
#include <linux/futex.h>

#include "fs/vfs/saving.h"
#include "kernel/kernel.h"
#include "syscalls/time_args.h"

namespace usk {
Result<int64_t> read_clock(Task& t, int32_t clock);
}

namespace usk::sys {
namespace {

// Whether the word still holds `value`: looked at while the waiter is queued, so that a waker that
// changes it afterwards finds the waiter.
Result<bool> still_holds(Task& t, uint64_t addr, uint32_t value) {
  return TRY(t.mem().get(UserPtr<const uint32_t>{addr})) == value;
}

// Leaves the queues when the call ends, however it does.
struct Waiting {
  std::shared_ptr<FutexWaiter> waiter;
  Task* task = nullptr;
  ~Waiting() {
    if (!waiter) return;
    futexes().dequeue(*waiter);
    if (task->futex == waiter) task->futex.reset();
    // It may have been the last that the threads' own calls had to wait for (publish_futexes()).
    if (task->mm && task->mm->space().ended_own_futexes_for_now()) task->answered_creds.reset();
  }
  USK_FIELDS(waiter, task)
};
USK_SAVED(Waiting, "syscalls/futex_waiting")

FutexWaiter& begin_wait(Task& t) {
  Waiting& w = t.extra<Waiting>();
  w.task = &t;
  w.waiter = std::make_shared<FutexWaiter>(t);
  t.futex = w.waiter;
  return *w.waiter;
}

Result<void> set_deadline(Task& t, uint64_t timeout, bool absolute, bool realtime) {
  if (!timeout) {
    t.deadline(std::nullopt);
    return {};
  }
  const int64_t ns = TRY(to_ns(TRY(t.mem().get(UserPtr<const KernelTimespec>{timeout}))));
  if (!absolute) {
    t.deadline(ns);
  } else if (realtime) {
    t.deadline(std::max<int64_t>(0, ns - t.kernel.time.now(CLOCK_REALTIME)));
  } else {
    t.frame.deadline = Deadline{ns};
  }
  return {};
}

// Queued: woken, timed out, or to wait on.
SyscallResult wait_result(Task& t, OnSignal on_signal) {
  Waiting& w = t.extra<Waiting>();
  if (futexes().was_woken(*w.waiter)) return 0;
  if (t.timed_out()) return Err(ETIMEDOUT);
  return Block{*t.frame.deadline, on_signal};
}

// How a GuestWait ended, if it did.
std::optional<SyscallResult> guest_result(Task& t) {
  const auto trap = std::exchange(t.trap, std::nullopt);
  if (!trap || trap->kind != platform::Trap::Kind::kWaited) return std::nullopt;
  switch (trap->result) {
    case -EINTR: return std::nullopt;
    case -EAGAIN:
    case -ETIMEDOUT:
    case -EFAULT:
    case -EINVAL: return SyscallResult(Err(int(-trap->result)));
    default: return SyscallResult(0);
  }
}

// Whether it has to know of those that sleep in a plain wait.
bool meets_plain_waiters(int command) {
  switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAKE:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAKE_BITSET:
    case FUTEX_CMP_REQUEUE_PI: return true;
    default: return false;
  }
}

bool may_be_realtime(int command) {
  return command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI2 ||
         command == FUTEX_WAIT_REQUEUE_PI;
}

// A private futex is about to be used here: by no thread itself from now on. True: those that
// sleep are on their way here, so that who is to meet them is to come after them.
bool take_over(Task& t) {
  if (t.frame.begun || !t.mm->space().has_own_futexes()) return false;
  t.mm->space().end_own_futexes(platform::Space::Ended::kForGood);
  return true;
}

SyscallResult futex_wait(Task& t, uint64_t addr, uint32_t value, uint32_t bitset, bool shared) {
  if (!bitset) return Err(EINVAL);
  const bool timed = !t.frame.deadline->infinite();
  const OnSignal on_signal = timed ? OnSignal::kRestartBlock : OnSignal::kRestartSys;
  if (timed) {
    t.restart = {.kind = RestartBlock::Kind::kFutex,
                 .until = *t.frame.deadline,
                 .args = {addr, value, bitset, shared}};
  }
  if (!shared) {
    if (auto result = guest_result(t)) return *result;
    // Where the threads of the space wake each other.
    if (t.mm->space().has_own_futexes()) return GuestWait{addr, value, bitset, on_signal};
  }
  Waiting& w = t.extra<Waiting>();
  if (!w.waiter) {
    auto key = TRY(futex_key(t, addr, shared));
    FutexWaiter& waiter = begin_wait(t);
    waiter.entries.push_back({key.key, key.holder, bitset});
    futexes().enqueue(waiter);
    if (!TRY(still_holds(t, addr, value))) return Err(EAGAIN);
  }
  return wait_result(t, on_signal);
}

SyscallResult futex_wake(Task& t, uint64_t addr, int count, uint32_t bitset, bool shared) {
  if (!bitset) return Err(EINVAL);
  auto key = TRY(futex_key(t, addr, shared));
  if (futexes().has_pi_waiter(key.key)) return Err(EINVAL);
  return futexes().wake(key.key, std::max(count, 1), bitset);
}

// FUTEX_WAKE_OP's operation: an operator and operand for *addr2, a comparison with its old value.
Result<bool> wake_op(Task& t, uint64_t addr, uint32_t encoded) {
  const int op = int(encoded >> 28 & 7), cmp = int(encoded >> 24 & 15);
  int32_t oparg = int32_t(encoded << 8) >> 20;
  const int32_t cmparg = int32_t(encoded << 20) >> 20;
  if (encoded >> 31) oparg = int32_t(1u << (oparg & 31));
  uint32_t old = TRY(t.mem().get(UserPtr<const uint32_t>{addr}));
  for (;;) {
    uint32_t next;
    switch (op) {
      case FUTEX_OP_SET: next = uint32_t(oparg); break;
      case FUTEX_OP_ADD: next = old + uint32_t(oparg); break;
      case FUTEX_OP_OR: next = old | uint32_t(oparg); break;
      case FUTEX_OP_ANDN: next = old & ~uint32_t(oparg); break;
      case FUTEX_OP_XOR: next = old ^ uint32_t(oparg); break;
      default: return Err(ENOSYS);
    }
    const uint32_t seen = TRY(t.mem().compare_exchange(addr, old, next));
    if (seen == old) break;
    old = seen;
  }
  switch (cmp) {
    case FUTEX_OP_CMP_EQ: return int32_t(old) == cmparg;
    case FUTEX_OP_CMP_NE: return int32_t(old) != cmparg;
    case FUTEX_OP_CMP_LT: return int32_t(old) < cmparg;
    case FUTEX_OP_CMP_GE: return int32_t(old) >= cmparg;
    case FUTEX_OP_CMP_LE: return int32_t(old) <= cmparg;
    case FUTEX_OP_CMP_GT: return int32_t(old) > cmparg;
    default: return Err(ENOSYS);
  }
}

SyscallResult futex_wake_op(Task& t, uint64_t addr, int count, int count2, uint64_t addr2,
                            uint32_t encoded, bool shared) {
  auto key = TRY(futex_key(t, addr, shared)), key2 = TRY(futex_key(t, addr2, shared));
  const bool also = TRY(wake_op(t, addr2, encoded));
  int n = futexes().wake(key.key, std::max(count, 1), ~0u);
  if (also) n += futexes().wake(key2.key, std::max(count2, 1), ~0u);
  return n;
}

SyscallResult futex_requeue(Task& t, uint64_t addr, int wake, int move, uint64_t addr2,
                            const uint32_t* expected, bool shared) {
  if (wake < 0 || move < 0) return Err(EINVAL);
  auto from = TRY(futex_key(t, addr, shared)), to = TRY(futex_key(t, addr2, shared));
  if (expected && !TRY(still_holds(t, addr, *expected))) return Err(EAGAIN);
  const int n = futexes().requeue(from.key, to, wake, move);
  return n;
}

// FUTEX_LOCK_PI: the word holds the owner's id; the kernel queues who waits and hands over.
SyscallResult futex_lock_pi(Task& t, uint64_t addr, bool shared, bool try_only) {
  Waiting& w = t.extra<Waiting>();
  if (w.waiter) {
    if (w.waiter->got_pi) return 0;
    if (t.timed_out()) return Err(ETIMEDOUT);
    if (!futexes().was_woken(*w.waiter)) return Block{*t.frame.deadline, OnSignal::kNoIntr};
    futexes().dequeue(*w.waiter);
  }
  auto key = TRY(futex_key(t, addr, shared));
  const uint32_t me = uint32_t(t.tid());
  uint32_t word = TRY(t.mem().get(UserPtr<const uint32_t>{addr}));
  for (;;) {
    const uint32_t owner = word & FUTEX_TID_MASK;
    if (owner == me) return Err(EDEADLK);
    uint32_t next;
    if (owner == 0 || (word & FUTEX_OWNER_DIED)) {
      next = me | (word & FUTEX_OWNER_DIED) | (futexes().waiters(key.key) ? FUTEX_WAITERS : 0);
    } else {
      if (try_only) return Err(EAGAIN);
      Lock lock(task_mutex);
      Ref<Pid> pid = t.pid_ns().find(int(owner));
      if (!pid || !pid->task || pid->task->exiting) return Err(ESRCH);
      next = word | FUTEX_WAITERS;
    }
    const uint32_t seen = TRY(t.mem().compare_exchange(addr, word, next));
    if (seen != word) {
      word = seen;
      continue;
    }
    if ((next & FUTEX_TID_MASK) == me) return 0;
    break;
  }
  FutexWaiter& waiter = begin_wait(t);
  waiter.is_pi = true;
  waiter.entries.push_back({key.key, key.holder});
  futexes().enqueue(waiter);
  return Block{*t.frame.deadline, OnSignal::kNoIntr};
}

// FUTEX_WAIT_REQUEUE_PI: waits at `addr` until it is moved to the PI futex at `addr2`, and for
// that.
SyscallResult futex_wait_requeue_pi(Task& t, uint64_t addr, uint32_t value, uint64_t addr2,
                                    bool shared) {
  if (addr == addr2) return Err(EINVAL);
  Waiting& w = t.extra<Waiting>();
  if (!w.waiter) {
    auto key = TRY(futex_key(t, addr, shared)), key2 = TRY(futex_key(t, addr2, shared));
    FutexWaiter& waiter = begin_wait(t);
    waiter.requeue_to = key2;
    waiter.entries.push_back({key.key, key.holder});
    futexes().enqueue(waiter);
    if (!TRY(still_holds(t, addr, value))) return Err(EAGAIN);
  }
  if (w.waiter->got_pi) return 0;
  if (t.timed_out()) return Err(ETIMEDOUT);
  // Linux: once it was moved, the call cannot begin anew; what it waited for has happened.
  return Block{*t.frame.deadline, w.waiter->is_pi ? OnSignal::kAgain : OnSignal::kNoIntr};
}

// Makes `next` the owner of the PI futex, where it has none; true when it did. Else the word says
// that there are waiters. ESRCH: its owner is gone; EDEADLK: its owner is `next`.
Result<bool> take_for(Task& t, uint64_t addr, Task& next) {
  uint32_t word = TRY(t.mem().get(UserPtr<const uint32_t>{addr}));
  const uint32_t id = uint32_t(next.tid());
  for (;;) {
    const uint32_t owner = word & FUTEX_TID_MASK;
    if (owner == id) return Err(EDEADLK);
    if (owner) {
      Lock lock(task_mutex);
      Ref<Pid> pid = t.pid_ns().find(int(owner));
      if (!pid || !pid->task || pid->task->exiting) return Err(ESRCH);
    }
    const uint32_t value =
        owner ? word | FUTEX_WAITERS : id | (word & (FUTEX_OWNER_DIED | FUTEX_WAITERS));
    const uint32_t seen = TRY(t.mem().compare_exchange(addr, word, value));
    if (seen == word) return owner == 0;
    word = seen;
  }
}

// FUTEX_CMP_REQUEUE_PI: one waiter may get the PI futex at once, the others wait for it there.
SyscallResult futex_cmp_requeue_pi(Task& t, uint64_t addr, int wake, int move, uint64_t addr2,
                                   uint32_t expected, bool shared) {
  if (wake != 1 || move < 0 || addr == addr2) return Err(EINVAL);
  auto from = TRY(futex_key(t, addr, shared)), to = TRY(futex_key(t, addr2, shared));
  if (!TRY(still_holds(t, addr, expected))) return Err(EAGAIN);
  int n = 0;
  while (n - wake < move) {
    auto waiter = futexes().first_to_requeue(from.key, to.key);
    if (!waiter && n == 0) return std::unexpected(waiter.error());
    if (!waiter || !*waiter) break;
    auto owns = take_for(t, addr2, **waiter);
    if (!owns && n == 0) return std::unexpected(owns.error());
    if (!owns) break;
    if (futexes().requeue_to_pi(from.key, to, **waiter, *owns)) n++;
  }
  return n;
}

SyscallResult futex_unlock_pi(Task& t, uint64_t addr, bool shared) {
  auto key = TRY(futex_key(t, addr, shared));
  uint32_t word = TRY(t.mem().get(UserPtr<const uint32_t>{addr}));
  if ((word & FUTEX_TID_MASK) != uint32_t(t.tid())) return Err(EPERM);
  bool more = false;
  Task* next = futexes().hand_over(key.key, more);
  const uint32_t value = next ? uint32_t(next->tid()) | (more ? FUTEX_WAITERS : 0) : 0;
  for (;;) {
    const uint32_t seen = TRY(t.mem().compare_exchange(addr, word, value));
    if (seen == word) return 0;
    if ((seen & FUTEX_TID_MASK) != uint32_t(t.tid())) return Err(EINVAL);
    word = seen;
  }
}

}  // namespace

SyscallResult restart_futex(Task& t) {
  if (!t.frame.deadline) t.frame.deadline = t.restart.until;
  const auto& a = t.restart.args;
  return futex_wait(t, a[0], uint32_t(a[1]), uint32_t(a[2]), a[3]);
}

SyscallResult futex(Task& t, uint64_t addr, int32_t op, uint32_t val, uint64_t timeout,
                    uint64_t addr2, uint32_t val3) {
  const bool shared = !(op & FUTEX_PRIVATE_FLAG);
  const bool realtime = op & FUTEX_CLOCK_REALTIME;
  const int command = op & FUTEX_CMD_MASK;
  const bool first = t.frame.first && !t.frame.begun;
  if (first && !shared && take_over(t) && meets_plain_waiters(command)) {
    return Signalled{OnSignal::kNoIntr};
  }
  if (realtime && !may_be_realtime(command)) return Err(ENOSYS);
  const int val2 = int(timeout);
  switch (command) {
    case FUTEX_WAIT:
      if (first) TRY(set_deadline(t, timeout, false, realtime));
      return futex_wait(t, addr, val, FUTEX_BITSET_MATCH_ANY, shared);
    case FUTEX_WAIT_BITSET:
      if (first) TRY(set_deadline(t, timeout, true, realtime));
      return futex_wait(t, addr, val, val3, shared);
    case FUTEX_WAKE: return futex_wake(t, addr, int(val), FUTEX_BITSET_MATCH_ANY, shared);
    case FUTEX_WAKE_BITSET: return futex_wake(t, addr, int(val), val3, shared);
    case FUTEX_REQUEUE: return futex_requeue(t, addr, int(val), val2, addr2, nullptr, shared);
    case FUTEX_CMP_REQUEUE: return futex_requeue(t, addr, int(val), val2, addr2, &val3, shared);
    case FUTEX_WAKE_OP: return futex_wake_op(t, addr, int(val), val2, addr2, val3, shared);
    case FUTEX_LOCK_PI:
      if (first) TRY(set_deadline(t, timeout, true, true));
      return futex_lock_pi(t, addr, shared, false);
    case FUTEX_LOCK_PI2:
      if (first) TRY(set_deadline(t, timeout, true, realtime));
      return futex_lock_pi(t, addr, shared, false);
    case FUTEX_TRYLOCK_PI: return futex_lock_pi(t, addr, shared, true);
    case FUTEX_WAIT_REQUEUE_PI:
      if (first) TRY(set_deadline(t, timeout, true, realtime));
      return futex_wait_requeue_pi(t, addr, val, addr2, shared);
    case FUTEX_CMP_REQUEUE_PI:
      return futex_cmp_requeue_pi(t, addr, int(val), val2, addr2, val3, shared);
    case FUTEX_UNLOCK_PI: return futex_unlock_pi(t, addr, shared);
    default: break;
  }
  note_unsupported(fmt::format("futex operation {}", command));
  return Err(ENOSYS);
}

SyscallResult futex_waitv(Task& t, uint64_t waiters, uint32_t count, uint32_t flags,
                          UserPtr<const KernelTimespec> timeout, int32_t clock) {
  struct Entry {
    uint64_t value, addr;
    uint32_t flags, reserved;
  };
  constexpr uint32_t kSize32 = 2, kPrivate = 128;
  if (flags || count == 0 || count > 128) return Err(EINVAL);
  Waiting& w = t.extra<Waiting>();
  if (t.frame.first) {
    if (timeout && clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return Err(EINVAL);
    TRY(set_deadline(t, timeout.addr, true, clock == CLOCK_REALTIME));
    const auto entries = TRY(t.mem().get_array(UserPtr<const Entry>{waiters}, count));
    FutexWaiter& waiter = begin_wait(t);
    for (const Entry& e : entries) {
      if (e.flags & ~(kSize32 | kPrivate) || !(e.flags & kSize32) || e.reserved) return Err(EINVAL);
      if (e.flags & kPrivate) take_over(t);
      auto key = TRY(futex_key(t, e.addr, !(e.flags & kPrivate)));
      waiter.entries.push_back({key.key, key.holder});
    }
    futexes().enqueue(waiter);
    for (const Entry& e : entries) {
      if (!TRY(still_holds(t, e.addr, uint32_t(e.value)))) return Err(EAGAIN);
    }
  }
  if (futexes().was_woken(*w.waiter)) return w.waiter->woken_index;
  if (t.timed_out()) return Err(ETIMEDOUT);
  return Block{*t.frame.deadline, OnSignal::kRestartSys};
}

}  // namespace usk::sys
