// Attacks on what the kernel process reads: the areas of threads in calls.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <initializer_list>

#include "attacks.h"

using namespace usk::trap;

namespace {

void* calls(void*) {
  for (;;) {
    getppid();
    char path[] = "/etc/hostname";
    int fd = open(path, O_RDONLY);
    char buffer[64];
    if (fd >= 0) (void)!read(fd, buffer, sizeof buffer), close(fd);
  }
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

// Writes over the areas of threads that are in calls: everything, then word by word.
void scribble(bool everything) {
  pthread_t t;
  for (int i = 0; i < 2; i++) pthread_create(&t, nullptr, calls, nullptr);
  auto* words = reinterpret_cast<volatile uint64_t*>(kAreas + kAreaSize);
  const timespec end = in_a_second();
  while (!over(end)) {
    const size_t at = random_word() % (everything ? 2 * kAreaSize / 8 : 64);
    const uint64_t v = random_word();
    words[at] = v % 4 == 0 ? v % 16 : v % 4 == 1 ? kBlob + v % 0x2000 : v;
  }
}

void* scribble_over_main(void*) {
  auto* words = reinterpret_cast<volatile uint64_t*>(kAreas);
  for (;;) {
    const uint64_t v = random_word();
    // Half of them where the commands lie, the rest in what a post consists of.
    const size_t at = v & 1 ? 56 + random_word() % 64 : random_word() % 64;
    words[at] = v % 4 == 0 ? v % 32 : v % 4 == 1 ? kBlob + v % 0x2000 : v;
  }
}

void* nothing(void*) { return nullptr; }
}  // namespace

void scribble_everywhere() { scribble(true); }
void scribble_requests() { scribble(false); }

// Posts of another thread's, made up.
namespace {
void calls_with_commands(timespec end) {
  while (!over(end)) {
    void* m = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m != MAP_FAILED) *static_cast<volatile char*>(m) = 1;
    mprotect(m, 4096, PROT_READ);
    munmap(m, 65536);
    if (fork() == 0) _exit(0);
    const int fd = open("/etc/hostname", O_RDONLY);
    void* f = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
    munmap(f, 4096);
    close(fd);
    pthread_t other;
    if (pthread_create(&other, nullptr, nothing, nullptr) == 0) pthread_join(other, nullptr);
    kill(getpid(), SIGCHLD);
  }
}
}  // namespace

// One's own, during all the calls that lead to commands; few children live long.
void scribble_over_oneself() {
  const timespec end = in_a_second();
  for (int round = 0; !over(end); round++) {
    in_child([=] {
      for (int i = 0; i < round; i++) random_word();
      pthread_t t;
      pthread_create(&t, nullptr, scribble_over_main, nullptr);
      calls_with_commands(end);
    });
  }
}

// Answers of the kernel process, made up: what they command is never a call that matters.
void forged_orders() {
  pthread_t t;
  pthread_create(&t, nullptr, calls, nullptr);
  auto* a = reinterpret_cast<Area*>(kAreas + kAreaSize);
  static char path[] = "/etc/passwd";
  const timespec end = in_a_second();
  for (long nr = 0; !over(end); nr = (nr + 1) % 440) {
    if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_munmap || nr == SYS_futex) continue;
    const bool asked = nr == SYS_clone || nr == SYS_mremap || nr == SYS_msync || nr == SYS_close ||
                       nr == SYS_membarrier || nr == SYS_prctl || nr == SYS_mmap;
    if (asked) continue;  // Ends the process; the others are to be tried.
    Command& c = a->commands[0];
    c.nr = uint64_t(nr);
    c.args[0] = c.args[1] = uint64_t(path);
    c.args[2] = 0;
    c.result = -1;
    a->command_count = 1;
    __atomic_store_n(&a->order, uint32_t(Order::kCommands), __ATOMIC_SEQ_CST);
    for (int i = 0; i < 1000; i++) __builtin_ia32_pause();
    const bool opens = nr == SYS_open || nr == SYS_openat || nr == SYS_socket || nr == SYS_stat;
    if (opens && c.nr == uint64_t(nr) && c.result >= 0) escaped("forged order", nr, c.result);
  }
}

void forged_posts() {
  pthread_t t;
  pthread_create(&t, nullptr, calls, nullptr);
  auto* post = reinterpret_cast<volatile uint32_t*>(kAreas + kAreaSize);
  for (int i = 0; i < 200000; i++) {
    post[0] = uint32_t(random_word() % 14);
    post[1] = uint32_t(i % 500);
  }
}

namespace {
// Ends of commands that were not run: forks and threads that never were.
void* forge_ends(void*) {
  auto* post = reinterpret_cast<volatile uint32_t*>(kAreas);
  auto* words = reinterpret_cast<volatile uint64_t*>(kAreas);
  for (;;) {
    words[63] = random_word() % 3 ? 1 : 12345;  // The result of the first command.
    post[0] = 8;                                // "Done".
    post[16] = 0;                               // The order.
  }
}
}  // namespace

void forged_forks() {
  pthread_t t;
  pthread_create(&t, nullptr, forge_ends, nullptr);
  for (int i = 0; i < 100; i++) {
    if (fork() == 0) _exit(0);
  }
}

void notices_of_others() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  for (long index = 0; index < 64; index++) {
    in_child([=] { through_blob(gadget, 0x3fff, index); });
  }
  for (long index : {-1L, 1L << 31, 1L << 40, 131072L}) {
    in_child([=] { through_blob(gadget, 0x3fff, index); });
  }
}

void lost_thread() {
  const uint64_t gadget = syscall_gadget();
  if (gadget) through_blob(gadget, SYS_exit, 0);
  for (;;) {
  }
}
