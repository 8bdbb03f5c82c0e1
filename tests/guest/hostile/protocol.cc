// Guest code that speaks for its stub: it posts, is given orders, and obeys as it likes.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#include "attacks.h"

using namespace usk::trap;

namespace {

class Impostor {
 public:
  Impostor() : area_(own_area()), gadget_(syscall_gadget()) {
    if (!area_) _exit(0);
  }
  Area& area() { return *area_; }
  uint64_t gadget() const { return gadget_; }

  Order post(Post kind) {
    area_->interrupt = 0;
    __atomic_store_n(&area_->order, 0, __ATOMIC_SEQ_CST);
    __atomic_exchange_n(&area_->post, uint32_t(kind), __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&area_->order, __ATOMIC_SEQ_CST)) notify();
    return Order(area_->order);
  }
  void notify() { through_blob(gadget_, USK_NR_NOTIFY, area_->index); }
  Order post_call(long nr, uint64_t first = 0, uint64_t second = 0, uint64_t third = 0,
                  uint64_t fourth = 0, uint64_t fifth = 0) {
    area_->nr = uint32_t(nr);
    area_->copied_length = 0;
    const uint64_t args[6] = {first, second, third, fourth, fifth};
    for (int i = 0; i < 6; i++) area_->args[i] = args[i];
    return post(Post::kSyscall);
  }
  // Says that the commands were run, and what the last gave.
  Order done(int64_t result) {
    const uint32_t n = area_->command_count;
    for (uint32_t i = 0; i < n && i < kMaxCommands; i++) area_->commands[i].result = 0;
    if (n > 0 && n <= kMaxCommands) area_->commands[n - 1].result = result;
    area_->command_count = 0;
    __atomic_store_n(&area_->done, area_->sequence, __ATOMIC_SEQ_CST);
    return post(Post::kDone);
  }
  // The command of this kind that a call leads to; null: the kernel process did without.
  const Command* ordered(Order order, uint64_t command) {
    for (int round = 0; order == Order::kCommands && round < 10; round++) {
      for (uint32_t i = 0; i < area_->command_count && i < kMaxCommands; i++) {
        if (area_->commands[i].nr == command) return &area_->commands[i];
      }
      order = done(0);
    }
    return nullptr;
  }
  const Command* fork_ordered() { return ordered(post_call(SYS_fork), kCmdFork); }
  // Makes the fork that was ordered: as fork(2).
  long make_fork(const Command& c) { return through_blob(gadget_, SYS_clone, long(c.args[0])); }
  static long map_area(uint64_t gadget, const Command& c) {
    return through_blob(gadget, SYS_mmap, long(c.args[1]), USK_BLOCK_SIZE, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED, 0, long(c.args[2]));
  }

 private:
  Area* const area_;
  const uint64_t gadget_;
};

[[noreturn]] void compute_for_ever() {
  for (;;) __builtin_ia32_pause();
}

// Seen by children, too.
volatile int* shared_word() {
  return static_cast<volatile int*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

void* flood(void*) {
  Impostor me;
  for (;;) me.notify();
}

// Runs `function` on `stack` in a thread that is made by exactly the call that was ordered.
long make_thread(uint64_t gadget, const Command& c, char* stack_top, void (*function)()) {
  static volatile int away;
  long result;
  away = 0;
  register long r10 __asm__("r10") = long(c.args[2]);
  register long r8 __asm__("r8") = 0;
  register char* r12 __asm__("r12") = stack_top;
  register void (*r13)() __asm__("r13") = function;
  // Both return on one stack: the parent leaves it alone until the child has.
  __asm__ volatile(
      "call *%[gadget]\n test %%rax, %%rax\n jnz 1f\n"
      "mov %%r12, %%rsp\n movl $1, %[away]\n xor %%ebp, %%ebp\n call *%%r13\n"
      "1: js 3f\n 2: pause\n cmpl $0, %[away]\n je 2b\n 3:\n"
      : "=a"(result), [away] "+m"(away)
      : "a"(SYS_clone), [gadget] "r"(gadget), "D"(c.args[0]), "S"(0), "d"(0), "r"(r10), "r"(r8),
        "r"(r12), "r"(r13)
      : "rcx", "r11", "memory");
  return result;
}

alignas(64) char g_stack[16384];

}  // namespace

// The fork comes to be, its parent says that it failed. Nobody may be left computing.
void stray_child() {
  Impostor me;
  const Command* c = me.fork_ordered();
  if (!c) return;
  if (me.make_fork(*c) == 0) compute_for_ever();
  me.done(-EAGAIN);
}

// The child exists and never tells of itself.
void silent_child() {
  Impostor me;
  const Command* c = me.fork_ordered();
  if (!c) return;
  const long child = me.make_fork(*c);
  if (child == 0) compute_for_ever();
  me.done(child);
}

// Says that a file is mapped, and may be about to do it only when its descriptor, which all stubs
// share, is another file's.
void mapping_that_is_only_told_of() {
  const int fd = memfd_create("own", 0);
  if (fd < 0 || ftruncate(fd, 4096) < 0) return;
  Impostor me;
  const Order order = me.post_call(SYS_mmap, 0, 4096, PROT_READ, MAP_SHARED, uint64_t(fd));
  const Command* c = me.ordered(order, SYS_mmap);
  if (!c) return;
  const Command m = *c;
  through_blob(me.gadget(), SYS_mmap, long(m.args[0]), long(m.args[1]), long(m.args[2]),
               long(m.args[3]), long(m.args[4]), long(m.args[5]));
  me.done(0);
  escaped("nobody knows when it maps", SYS_mmap, 0);
}

namespace {
void* sleep_for_ever(void*) {
  for (;;) pause();
}

// Has a second block of areas mapped for a thread, and does not keep it from children.
bool map_inheritable_block(Impostor& me) {
  pthread_t t;
  for (int i = 1; i < USK_AREAS_PER_BLOCK; i++) {
    if (pthread_create(&t, nullptr, sleep_for_ever, nullptr)) return false;
  }
  constexpr uint64_t kFlags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  const uint64_t top = uint64_t(g_stack + sizeof g_stack);
  const Command* c = me.ordered(me.post_call(SYS_clone, kFlags, top), SYS_mmap);
  if (!c || c->args[0] != kAreas + USK_BLOCK_SIZE) return false;
  const Command m = *c;
  through_blob(me.gadget(), SYS_mmap, long(m.args[0]), long(m.args[1]), long(m.args[2]),
               long(m.args[3]), long(m.args[4]), long(m.args[5]));
  if (me.done(0) == Order::kCommands) me.done(-EAGAIN);
  return true;
}
}  // namespace

// Once the parent has ended, they are another program's.
void child_with_areas_of_its_parent() {
  volatile int* const accepted = shared_word();
  in_child([=] {
    Impostor me;
    if (!map_inheritable_block(me)) return;
    const Command* c = me.fork_ordered();
    if (!c) return;
    const Command copy = *c;
    const long child = me.make_fork(copy);
    if (child == 0) {
      if (Impostor::map_area(me.gadget(), copy) != long(copy.args[1])) compute_for_ever();
      (void)*reinterpret_cast<volatile char*>(kAreas + USK_BLOCK_SIZE);
      through_blob(me.gadget(), SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
      me.post(Post::kReady);
      *accepted = 1;
      compute_for_ever();
    }
    me.done(child);
    usleep(100000);
  });
  if (*accepted) escaped("a child has its parent's areas", SYS_clone, 0);
}

// A child that would live on when the kernel process is killed.
void child_that_outlives() {
  volatile int* const accepted = shared_word();
  Impostor me;
  const Command* c = me.fork_ordered();
  if (!c) return;
  const Command copy = *c;
  const long child = me.make_fork(copy);
  if (child == 0) {
    if (Impostor::map_area(me.gadget(), copy) != long(copy.args[1])) compute_for_ever();
    me.post(Post::kReady);
    *accepted = 1;
    compute_for_ever();
  }
  me.done(child);
  usleep(100000);
  if (*accepted) escaped("a child that nobody ends", SYS_prctl, child);
}

namespace {
Command g_fork;
volatile int g_fork_known;
volatile int* g_taken;
uint64_t g_gadget;

// A thread without a name takes the part of the child: the number of a thread is free once it ends.
void map_as_child() {
  while (!g_fork_known) __builtin_ia32_pause();
  *g_taken = Impostor::map_area(g_gadget, g_fork) > 0;
  compute_for_ever();
}
}  // namespace

void child_of_another_number() {
  g_taken = shared_word();
  in_child([] {
    Impostor me;
    g_gadget = me.gadget();
    constexpr uint64_t kFlags =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    char* const top = g_stack + sizeof g_stack;
    const Command* c = me.ordered(me.post_call(SYS_clone, kFlags, uint64_t(top)), kCmdClone);
    if (!c || make_thread(me.gadget(), *c, top, map_as_child) < 0) return;
    me.done(-EAGAIN);
    c = me.fork_ordered();
    if (!c) return;
    g_fork = *c;
    g_fork_known = 1;
    // The areas may be those of a child by now: nothing here works any more.
    for (int i = 0; i < 10'000'000; i++) __builtin_ia32_pause();
    *static_cast<volatile char*>(nullptr) = 0;
  });
  if (*g_taken) escaped("a thread was taken for a process", SYS_mmap, 0);
}

namespace {
volatile int g_ghosts;

// Says that it ends, is told to, and does not; nor is it kept for another, without a time stamp
// counter.
int become_ghost(void*) {
  Impostor me;
  me.post_call(SYS_exit);
  me.area().alive = 0;
  g_ghosts = g_ghosts + 1;
  static int never;
  for (;;) through_blob(me.gadget(), SYS_futex, long(&never), 0, 0);
}
}  // namespace

// More threads of the host than there may be threads.
void threads_that_do_not_end() {
  constexpr int kThreads = 1000, kStackSize = 16384;
  constexpr int kFlags =
      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  volatile int* const ghosts = shared_word();
  in_child([=] {
    if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV)) return;
    for (int i = 0; i < kThreads; i++) {
      void* stack =
          mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (stack == MAP_FAILED) return;
      if (clone(become_ghost, static_cast<char*>(stack) + kStackSize, kFlags, nullptr) < 0) return;
      for (int j = 0; j < 1000 && g_ghosts <= i; j++) usleep(100);
      *ghosts = g_ghosts;
    }
  });
  if (*ghosts > kThreads / 2) escaped("threads that nobody counts", SYS_exit, *ghosts);
}

// Is given commands, and computes instead.
void stubborn_thread() {
  Impostor me;
  if (me.fork_ordered()) compute_for_ever();
}

// The kernel process waits for one, and another does not let it come to rest.
void stubborn_thread_behind_a_flood() {
  pthread_t t;
  for (int i = 0; i < 16; i++) pthread_create(&t, nullptr, flood, nullptr);
  usleep(10000);
  Impostor me;
  // Asleep, so that the processors are theirs.
  if (me.fork_ordered()) {
    static int never;
    for (;;) through_blob(me.gadget(), SYS_futex, long(&never), 0, 0);
  }
}

namespace {
void* end_process(void* gadget) {
  usleep(20000);
  through_blob(uint64_t(gadget), SYS_exit_group, 0);
  return nullptr;
}
}  // namespace

// A call ends whose process is no more: its memory, by now, may be anybody's.
void memory_of_the_dead() {
  int ends[2];
  if (pipe(ends) < 0) return;
  const uint64_t gadget = syscall_gadget();
  const pid_t child = fork();
  if (child == 0) {
    pthread_t t;
    pthread_create(&t, nullptr, end_process, reinterpret_cast<void*>(gadget));
    char byte;
    (void)!read(ends[0], &byte, 1);
    _exit(0);
  }
  usleep(60000);
  (void)!write(ends[1], "x", 1);
  kill(child, SIGUSR2);
  waitpid(child, nullptr, 0);
}
