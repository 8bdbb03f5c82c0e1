#pragma once

// What the blob answers by itself: part of blob.cc. The kernel process switches all of it off where
// somebody watches the calls (Thread::set_identity()).

// The answer plus one that the thread holds itself; 0: it must ask.
uint32_t known_answer(const Area* a) {
  switch (a->nr) {
    case SYS_getpid: return a->identity[kPid];
    case SYS_gettid: return a->identity[kTid];
    case SYS_getuid: return a->identity[kUid];
    case SYS_geteuid: return a->identity[kEuid];
    case SYS_getgid: return a->identity[kGid];
    case SYS_getegid: return a->identity[kEgid];
    default: return 0;
  }
}

long put_cpu(Area*, const Command* c) {
  if (c->args[0]) *reinterpret_cast<uint32_t*>(c->args[0]) = current_cpu();
  if (c->args[1]) *reinterpret_cast<uint32_t*>(c->args[1]) = 0;  // The node: there is one.
  return 0;
}

struct Clock {
  uint64_t seconds, nanoseconds;
};

// The clock's time by the host's own function and what the sandbox adds to it. The pages are the
// guest's: only the function is not.
long read_clock(Area* a, const Command* c) {
  constexpr uint64_t kRealtime = 1u << 0 | 1u << 5, kMonotonic = 1u << 1 | 1u << 6 | 1u << 7;
  constexpr uint64_t kBoottime = 7, kMonotonicClock = 1, kSecond = 1'000'000'000;
  const uint64_t clock = c->args[0];
  const auto* page = reinterpret_cast<const volatile usk_time_page*>(a->time_page);
  auto* host = reinterpret_cast<int (*)(long, Clock*)>(policy().host_clock_gettime);
  if (!page || !host || clock > 7 || !((kRealtime | kMonotonic) >> clock & 1)) return -1;
  const uint32_t sequence = page->sequence;
  Clock now{};
  if (sequence & 1 || host(clock == kBoottime ? kMonotonicClock : clock, &now) != 0) return -1;
  const bool real = kRealtime >> clock & 1;
  now.seconds += real ? page->realtime_seconds : page->monotonic_seconds;
  now.nanoseconds += real ? page->realtime_nanoseconds : page->monotonic_nanoseconds;
  if (now.nanoseconds >= kSecond) now.nanoseconds -= kSecond, now.seconds++;
  if (page->sequence != sequence) return -1;
  *reinterpret_cast<Clock*>(c->args[1]) = now;
  return 0;
}
long put_clock(Area*, const Command* c) {
  auto* to = reinterpret_cast<uint64_t*>(c->args[0]);
  if (c->args[3]) to[0] = c->args[1];
  if (c->args[3] > 1) to[1] = c->args[2];
  return 0;
}

// `clock` to `to`, the nanoseconds divided by `divisor`; 0: seconds alone. False: it must ask.
bool answer_clock(Area* a, uint64_t clock, uint64_t to, uint64_t divisor) {
  Clock now{};
  Command c{};
  c.args[0] = clock;
  c.args[1] = reinterpret_cast<uint64_t>(&now);
  if (usk_guarded(a, read_clock, &c) != 0) return false;
  c.args[0] = to;
  c.args[1] = now.seconds;
  c.args[2] = divisor ? now.nanoseconds / divisor : 0;
  c.args[3] = divisor ? 2 : to ? 1 : 0;
  const long r = usk_guarded(a, put_clock, &c);
  a->regs.rax = r == 0 && !divisor ? now.seconds : uint64_t(r);
  return true;
}

// Calls that the host's own answers are right for, while the kernel process lets the thread answer
// at all. False: it must ask.
bool answer_as_host(Area* a) {
  if (!a->identity[kPid]) return false;
  if (a->nr == SYS_sched_yield) {
    a->regs.rax = uint64_t(call(SYS_sched_yield));
    return true;
  }
  if (a->nr == SYS_getcpu) {
    Command c{};
    c.args[0] = a->args[0], c.args[1] = a->args[1];
    a->regs.rax = uint64_t(usk_guarded(a, put_cpu, &c));
    return true;
  }
  switch (a->nr) {
    case SYS_clock_gettime: return answer_clock(a, uint32_t(a->args[0]), a->args[1], 1);
    case SYS_gettimeofday: return a->args[0] && !a->args[1] && answer_clock(a, 0, a->args[0], 1000);
    case SYS_time: return answer_clock(a, 0, a->args[0], 0);
    default: return false;
  }
}

// False: the kernel process is to be asked.
bool answer(Area* a) {
  // Sites of libc's syscall(3) come here with any number; the others' thunks have looked already.
  if (const uint32_t known = known_answer(a)) {
    a->regs.rax = known - 1;
    return true;
  }
  return answer_as_host(a);
}
