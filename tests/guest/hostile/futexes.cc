// Attacks on futex calls that stubs make themselves, and on the words that stubs sleep on.
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "attacks.h"

using namespace usk::trap;

namespace {

constexpr int kThreads = 3;
uint32_t g_word;

Area* area_of(int thread) { return reinterpret_cast<Area*>(kAreas + uint64_t(thread) * kAreaSize); }

long private_futex(int op, uint32_t value, const void* timeout = nullptr) {
  return syscall(SYS_futex, &g_word, op | FUTEX_PRIVATE_FLAG, value, timeout, &g_word, -1u);
}

// Waits, wakes, and calls that the kernel answers.
void* futex_calls(void*) {
  const timespec soon = {0, 1'000'000};
  for (uint32_t i = 0;; i++) {
    private_futex(FUTEX_WAIT, g_word, i % 2 ? &soon : nullptr);
    private_futex(FUTEX_WAKE, 10);
    if (i % 8 == 0) getppid();
  }
}
void* wakes(void*) {
  for (;;) {
    __atomic_fetch_add(&g_word, 1, __ATOMIC_SEQ_CST);
    private_futex(FUTEX_WAKE, 10);
    usleep(10);
  }
}

void on_signal(int) {}

void begin_traffic() {
  struct sigaction a = {};
  a.sa_handler = on_signal;
  sigaction(SIGUSR1, &a, nullptr);
  pthread_t t;
  for (int i = 0; i < kThreads; i++) pthread_create(&t, nullptr, futex_calls, nullptr);
  pthread_create(&t, nullptr, wakes, nullptr);
}

bool over(timespec end) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec > end.tv_nsec);
}
timespec in_a_second() {
  timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += 1;
  return end;
}

// What a stub tells of the waits that it makes.
void lie(Area* a) {
  const uint64_t v = random_word();
  switch (v % 10) {
    case 0: a->sleeps = uint32_t(v >> 8) % 2; break;
    case 1: a->own_futexes = uint32_t(v >> 8) % 2; break;
    case 2: a->begun = uint32_t(v >> 8) % 4; break;
    case 3: a->deadline = int64_t(random_word()); break;
    case 4: a->unwatched = uint32_t(v >> 8) % 2; break;
    case 5: a->interrupt = uint32_t(v >> 8) % 2; break;
    case 6: a->time_page = v % 3 ? random_word() : 0; break;
    case 7: a->futex_waits = a->futex_calls = random_word(); break;
    case 8: a->result = int64_t(random_word() % 4096) - 4096; break;
    default: a->post = uint32_t(v >> 8) % 2 ? uint32_t(Post::kWaited) : uint32_t(Post::kHint);
  }
}

}  // namespace

// Beside signals, forks and calls that end the waits of stubs.
void lies_about_waits() {
  const timespec end = in_a_second();
  for (int round = 0; !over(end); round++) {
    in_brief_child([=] {
      for (int i = 0; i < round; i++) random_word();
      begin_traffic();
      for (int i = 0;; i++) {
        lie(area_of(1 + int(random_word() % kThreads)));
        if (i % 64 == 0) kill(getpid(), SIGUSR1);
        if (i == 2000) private_futex(FUTEX_LOCK_PI, 0);
      }
    });
  }
}

namespace {
void* false_sleeper(void*) {
  for (Area* a = area_of(1);; a->sleeps = 1) {
    if (a->own_futexes) a->unwatched = 1;
  }
}
}  // namespace

// Says that it sleeps, and computes: others go on, and it can be killed.
void false_sleepers() {
  for (int i = 0; i < 10; i++) {
    in_brief_child([] {
      pthread_t t;
      pthread_create(&t, nullptr, false_sleeper, nullptr);
      // Sites are patched, and the space gives up waits of its own.
      for (int j = 0; j < 500; j++) getppid(), getpgid(0), getsid(0);
      private_futex(FUTEX_LOCK_PI, 0);
      for (;;) getppid();
    });
  }
}

// Wakes what siblings sleep on for the kernel process, and moves them elsewhere.
void words_that_stubs_sleep_on() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  const timespec end = in_a_second();
  while (!over(end)) {
    in_brief_child([=] {
      begin_traffic();
      for (;;) {
        const long order = long(&area_of(1 + int(random_word() % kThreads))->order);
        const long flag = random_word() % 2 ? FUTEX_PRIVATE_FLAG : 0;
        through_blob(gadget, SYS_futex, order, FUTEX_WAKE | flag, 100);
        through_blob(gadget, SYS_futex, order, FUTEX_REQUEUE | flag, 0, 100, long(&g_word));
        through_blob(gadget, SYS_futex, long(&g_word), FUTEX_WAKE | flag, 100);
      }
    });
  }
}

// Orders to wait, which nobody gave.
void forged_waits() {
  const timespec end = in_a_second();
  while (!over(end)) {
    in_brief_child([] {
      begin_traffic();
      for (;;) {
        Area* a = area_of(1 + int(random_word() % kThreads));
        a->args[0] = random_word() % 2 ? uint64_t(&g_word) : random_word();
        a->args[3] = random_word();
        __atomic_store_n(&a->order, uint32_t(Order::kWait), __ATOMIC_SEQ_CST);
        usleep(20);
      }
    });
  }
}

namespace {

// Forgets at once whom it was asked to wake.
void* bad_waker(void* area) {
  for (;;) __atomic_store_n(&static_cast<Area*>(area)->to_wake, 0, __ATOMIC_SEQ_CST);
}

[[noreturn]] void disturb_bells(uint64_t gadget) {
  Area* const own = own_area();
  pthread_t t;
  if (own) pthread_create(&t, nullptr, bad_waker, own);
  for (unsigned i = 0;; i++) {
    const auto* bell = &reinterpret_cast<Policy*>(USK_POLICY)->bells[random_word() % kBells];
    const long at = long(bell), to = long(&g_word);
    through_blob(gadget, SYS_futex, at, FUTEX_WAKE, 1);
    through_blob(gadget, SYS_futex, at, FUTEX_REQUEUE, 0, 100, to);
    through_blob(gadget, SYS_futex, at, FUTEX_CMP_REQUEUE, 0, 100, to, long(*bell));
    through_blob(gadget, SYS_futex, to, FUTEX_WAKE_OP, 0, 100, at, 0);
    getppid();
    if (i % 8 == 0) usleep(1);  // It parks, and is asked.
  }
}

void never_woken(int) { escaped("a bell let its sleeper down", SYS_futex, 0); }

}  // namespace

// Where the threads of all stubs wait: nobody can be moved from there, or kept asleep.
void bells_of_others() {
  const uint64_t gadget = syscall_gadget();
  int there[2], back[2];
  if (!gadget || pipe(there) || pipe(back)) _exit(0);
  const pid_t attacker = fork();
  if (attacker == 0) disturb_bells(gadget);
  const pid_t echo = fork();
  char c = 0;
  if (echo == 0) {
    while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1) {
    }
    _exit(0);
  }
  signal(SIGALRM, never_woken);
  for (int i = 0; i < 5000; i++) {
    alarm(1);
    if (write(there[1], &c, 1) != 1 || read(back[0], &c, 1) != 1) break;
  }
  kill(attacker, SIGKILL);
  kill(echo, SIGKILL);
}
