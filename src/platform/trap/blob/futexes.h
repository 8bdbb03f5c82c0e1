#pragma once

// Calls with private futexes that the stub makes itself: part of blob.cc. Who waits and who wakes
// must meet, so either all of a space are made here or none (Space::end_own_futexes()). None moves
// a sleeper to another futex: nobody could tell where it is to wait on after an interruption.

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr long kInterrupted = -4, kAgain = -11, kNoSuchCall = -38, kCannotTell = -1,
               kPreempted = -2, kFaulted = -14;

bool is_own_futex(const Area* a) {
  constexpr uint32_t kPlain = 1u << FUTEX_WAIT | 1u << FUTEX_WAKE | 1u << FUTEX_WAKE_OP |
                              1u << FUTEX_WAIT_BITSET | 1u << FUTEX_WAKE_BITSET;
  const uint32_t op = uint32_t(a->args[1]);
  const uint32_t command = op & ~uint32_t(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
  return op & FUTEX_PRIVATE_FLAG && command < 32 && kPlain >> command & 1;
}

// The kernel process patches call sites that trap often; it never hears of these unless it is told.
bool is_hint_due(Area* a) {
  constexpr uint32_t kFirst = 4, kEvery = 16;
  if (!a->own_futexes || !is_own_futex(a)) return false;
  const uint32_t n = ++a->hints;
  return n <= 2 * kFirst ? n % 2 : n % kEvery == 0;
}

struct Time {
  int64_t seconds, nanoseconds;
};

int64_t to_ns(Time t) {
  constexpr int64_t kMost = INT64_MAX / kSecondNs - 1;
  if (t.seconds > kMost) return INT64_MAX;
  return t.seconds < 0 ? 0 : t.seconds * kSecondNs + t.nanoseconds;
}

long read_timeout(Area* a, const Command* c) {
  *reinterpret_cast<Time*>(c->args[0]) = *reinterpret_cast<const Time*>(a->args[3]);
  return 0;
}

// The host's clock; the pages that it is read from are the guest's.
long read_host_clock(Area*, const Command* c) {
  auto* host = reinterpret_cast<int (*)(long, Time*)>(policy().host_clock_gettime);
  return host && host(long(c->args[0]), reinterpret_cast<Time*>(c->args[1])) == 0 ? 0 : kCannotTell;
}
bool host_clock(Area* a, long clock, Time& now) {
  Command c{};
  c.args[0] = uint64_t(clock);
  c.args[1] = reinterpret_cast<uint64_t>(&now);
  return usk_guarded(a, read_host_clock, &c) == 0;
}

// What the guest's clock is ahead of the host's.
long read_offset(Area* a, const Command* c) {
  const auto* page = reinterpret_cast<const volatile usk_time_page*>(a->time_page);
  if (!page) return kCannotTell;
  const uint32_t sequence = page->sequence;
  auto* to = reinterpret_cast<Time*>(c->args[1]);
  const bool real = c->args[0] == CLOCK_REALTIME;
  to->seconds = real ? page->realtime_seconds : page->monotonic_seconds;
  to->nanoseconds = real ? page->realtime_nanoseconds : page->monotonic_nanoseconds;
  return sequence & 1 || page->sequence != sequence ? kCannotTell : 0;
}

struct Timeout {
  bool is_set = false, realtime = false;
  Time until{};  // On the host's clock.
};

// What the call says of a timeout: 0, an error of the call, or kCannotTell.
long find_timeout(Area* a, Timeout& out) {
  const uint32_t op = uint32_t(a->args[1]);
  Command c{};
  Time t{}, other{};
  if (!a->args[3]) return 0;
  c.args[0] = reinterpret_cast<uint64_t>(&t);
  if (const long r = usk_guarded(a, read_timeout, &c)) return r;
  if (t.seconds < 0 || uint64_t(t.nanoseconds) >= uint64_t(kSecondNs)) return -22;  // -EINVAL
  constexpr int64_t kForever = 20'000'000'000;  // Seconds, beyond the end of the host's clocks.
  if (t.seconds > kForever) t.seconds = kForever;
  out.is_set = true;
  out.realtime = op & FUTEX_CLOCK_REALTIME;
  const bool relative = (op & ~uint32_t(FUTEX_PRIVATE_FLAG)) == FUTEX_WAIT;
  if (relative) {
    if (!host_clock(a, CLOCK_MONOTONIC, other)) return kCannotTell;
    t.seconds += other.seconds, t.nanoseconds += other.nanoseconds;
    if (t.nanoseconds >= kSecondNs) t.nanoseconds -= kSecondNs, t.seconds++;
  } else {
    c.args[0] = out.realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    c.args[1] = reinterpret_cast<uint64_t>(&other);
    if (usk_guarded(a, read_offset, &c) != 0) return kCannotTell;
    t.seconds -= other.seconds, t.nanoseconds -= other.nanoseconds;
    if (t.nanoseconds < 0) t.nanoseconds += kSecondNs, t.seconds--;
    if (t.seconds < 0) t = {};
  }
  out.until = t;
  return 0;
}

// Sleeps on the host's own futex; `until` null: for ever. -EINTR: a kick came.
long sleep_on_futex(Area* a, uint32_t op, const Time* until, uint64_t addr, uint32_t value,
                    uint32_t bitset) {
  a->futex_waits++;
  __atomic_store_n(&a->sleeps, 1, __ATOMIC_RELEASE);
  const long r = usk_futex_wait(addr, op, value, until, bitset);
  // Before the look at `interrupt` on the way out: TrapThread::hold().
  __atomic_exchange_n(&a->sleeps, 0, __ATOMIC_SEQ_CST);
  // The host has been stopped meanwhile: it goes on by restart_syscall(2), which the filter
  // refuses.
  return r == kNoSuchCall ? kInterrupted : r;
}

// When the interrupted wait was to end, for who goes on with it.
void tell_deadline(Area* a, const Timeout& timeout) {
  a->begun = timeout.is_set ? kUntil : kBegun;
  a->deadline = to_ns(timeout.until);
  if (!timeout.is_set || !timeout.realtime) return;
  Time real{}, monotonic{};
  a->deadline = 0;
  if (!host_clock(a, CLOCK_REALTIME, real) || !host_clock(a, CLOCK_MONOTONIC, monotonic)) return;
  const int64_t left = to_ns(timeout.until) - to_ns(real), now = to_ns(monotonic);
  a->deadline = left > INT64_MAX - now ? INT64_MAX : now + left;
}

// 0: the word has changed before the time was up.
long look_at_word(Area* a, const Command* c) {
  const auto& word = *reinterpret_cast<const uint32_t*>(c->args[0]);
  const uint64_t most = policy().futex_spin_cycles, gap = most / 2, begin = cycles();
  for (uint64_t now = begin, last; now - begin < most && !load(a->interrupt);) {
    for (int i = 0; i < 16; i++) {
      if (load(word) != uint32_t(c->args[2])) return 0;
      __builtin_ia32_pause();
    }
    last = now, now = cycles();
    if (now - last > gap) return kPreempted;  // Others have work for the processor.
  }
  return kInterrupted;
}

// Before it sleeps: who answers at once from another processor need not wake it. Less and less
// often while that brings nothing, and more often again while it does. True: the word has changed.
bool spin_for_word(Area* a) {
  constexpr uint32_t kMostFailures = 9;  // One wait in 512 spins.
  if (a->spin_skips) return a->spin_skips--, false;
  if (a->args[0] % 4 || !policy().futex_spin_cycles) return false;
  Command c{};
  c.args[0] = a->args[0], c.args[2] = a->args[2];
  const long r = usk_guarded(a, look_at_word, &c);
  const uint32_t failures = a->spin_failures;
  if (r == 0) {
    a->spin_failures = failures ? failures - 1 : 0;
  } else {
    a->spin_failures = r == kPreempted || failures >= kMostFailures ? kMostFailures : failures + 1;
  }
  a->spin_skips = (1u << a->spin_failures) - 1;
  return r == 0;
}

// False: the kernel process is to be asked, where `begun` says how far it came.
bool make_wait(Area* a) {
  const uint32_t op = uint32_t(a->args[1]);
  const bool plain = (op & ~uint32_t(FUTEX_PRIVATE_FLAG)) == FUTEX_WAIT;
  Timeout timeout;
  long r = find_timeout(a, timeout);
  // Where a fault is met, the kernel process may know how to mend it.
  if (r == kCannotTell || r == kFaulted) return false;
  if (r == 0 && spin_for_word(a)) {
    r = kAgain;
  } else if (r == 0) {
    // An absolute time is what FUTEX_WAIT_BITSET takes.
    const uint32_t clock = timeout.realtime ? FUTEX_CLOCK_REALTIME : 0;
    r = sleep_on_futex(a, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | clock,
                       timeout.is_set ? &timeout.until : nullptr, a->args[0], uint32_t(a->args[2]),
                       plain ? FUTEX_BITSET_MATCH_ANY : uint32_t(a->args[5]));
    if (r == kFaulted) return false;
    if (r == kInterrupted) return tell_deadline(a, timeout), false;
  }
  a->regs.rax = uint64_t(r);
  return true;
}

// False: the kernel process is to be asked.
bool make_futex_call(Area* a) {
  a->begun = kNotBegun;
  if (!a->own_futexes || !is_own_futex(a)) return false;
  a->futex_calls++;
  const uint32_t command = uint32_t(a->args[1]) & ~uint32_t(FUTEX_PRIVATE_FLAG);
  if (command == FUTEX_WAIT || (command & ~uint32_t(FUTEX_CLOCK_REALTIME)) == FUTEX_WAIT_BITSET) {
    return make_wait(a);
  }
  a->regs.rax = uint64_t(call(SYS_futex, a->args[0], uint32_t(a->args[1]), uint32_t(a->args[2]),
                              a->args[3], a->args[4], uint32_t(a->args[5])));
  return true;
}

// Order::kWait.
long wait_as_ordered(Area* a) {
  const int64_t ns = int64_t(a->args[3]);
  const Time until = {ns / kSecondNs, ns % kSecondNs};
  return sleep_on_futex(a, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, ns < 0 ? nullptr : &until,
                        a->args[0], uint32_t(a->args[2]), uint32_t(a->args[5]));
}
