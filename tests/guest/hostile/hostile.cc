// A guest that attacks the stub it runs in. Each attack is made by a child process, which may die
// or hang; this program then sees whether the kernel still serves it, and whether a host call came
// through. It prints one line for each attack; "ESCAPE" in one of them is a failure.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>

namespace {

// Facts about the stub, as any guest can find them out by reading its memory.
constexpr uint64_t kBlob = 0x7fffd0000000;
constexpr uint64_t kAreas = 0x7fffd1000000;
constexpr uint64_t kAreaSize = 0x8000;

// The address of a `syscall` in the blob that is followed by `ret`; 0: there is none.
uint64_t syscall_gadget() {
  const auto* p = reinterpret_cast<const unsigned char*>(kBlob);
  for (size_t i = 0; i + 3 < 0x1000; i++) {
    if (p[i] == 0x0f && p[i + 1] == 0x05 && p[i + 2] == 0xc3) return kBlob + i;
  }
  return 0;
}

long through_blob(uint64_t gadget, long nr, long a = 0, long b = 0, long c = 0, long d = 0,
                  long e = 0, long f = 0) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("call *%1"
                   : "=a"(result)
                   : "r"(gadget), "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

[[noreturn]] void escaped(const char* what, long nr, long result) {
  printf("ESCAPE: %s: call %ld returned %ld\n", what, nr, result);
  fflush(stdout);
  _exit(99);
}

// Makes `attempt` in a child, which may be killed for it.
template <class F>
void in_child(F attempt) {
  const pid_t child = fork();
  if (child == 0) {
    attempt();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 99) _exit(99);
}

// Every number from the blob: nothing but the harmless few may do anything.
void forbidden_calls() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  static char path[] = "/etc/passwd";
  for (long nr = 0; nr < 600; nr++) {
    switch (nr) {
      // Allowed, and harmless: they touch this thread or this process's own memory.
      case SYS_futex:
      case SYS_rt_sigreturn:
      case SYS_sched_yield:
      case SYS_sigaltstack:
      case SYS_rseq:
      case SYS_exit:
      case SYS_exit_group:
      case SYS_munmap:
      case SYS_mprotect:
      case SYS_madvise: continue;
      // Linux 6.11 lets these two past every filter: the caller gets SIGILL.
      case 335:
      case 336: continue;
      default: break;
    }
    auto attempt = [=] {
      const long r = through_blob(gadget, nr, long(path));
      if (r != -ENOSYS && r != -EPERM) escaped("forbidden call", nr, r);
    };
    // What the stub may be ordered to call costs the process its life.
    const bool ordered = nr == SYS_mmap || nr == SYS_clone || nr == SYS_mremap || nr == SYS_msync ||
                         nr == SYS_membarrier || nr == SYS_close;
    ordered ? in_child(attempt) : attempt();
  }
  const long dir = through_blob(gadget, SYS_openat, AT_FDCWD, long(path), O_RDONLY);
  if (dir >= 0) escaped("open", SYS_openat, dir);
}

// The calls with ranges: never outside of the guest's own addresses.
void own_pages_of_the_stub() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  struct {
    uint64_t at, length;
  } const ranges[] = {{kBlob, 4096},
                      {kAreas, kAreaSize},
                      {kBlob - 4096, 8192},
                      {0x10000, UINT64_MAX},
                      {kBlob - 4096, UINT64_MAX - 0x1000},
                      {0x60000, 4096},
                      {0x7ffff0000000, 4096},
                      {0x10000, kBlob - 0xf000},
                      {UINT64_MAX - 4095, 4096}};
  for (auto [at, length] : ranges) {
    for (long nr : {SYS_munmap, SYS_mprotect}) {
      const long r = through_blob(gadget, nr, at, length, PROT_READ | PROT_WRITE | PROT_EXEC);
      if (r == 0) escaped("range", nr, long(at));
    }
    const long m = through_blob(gadget, SYS_mmap, at, length, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (m > 0) escaped("range", SYS_mmap, m);
  }
  for (int fd = 0; fd < 20; fd++) {  // The descriptors that the stub has.
    in_child([=] {
      const long m = through_blob(gadget, SYS_mmap, 0x100000000, 4096, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_FIXED, fd, 0);
      if (m > 0) escaped("descriptor", SYS_mmap, fd);
    });
  }
  in_child([=] {
    const long c = through_blob(gadget, SYS_clone, SIGCHLD);
    if (c >= 0) escaped("clone", SYS_clone, c);
  });
}

void poisoned_advice() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(page, 1, 4096);
  for (long advice : {100, 101}) {  // MADV_HWPOISON, MADV_SOFT_OFFLINE
    const long r = through_blob(gadget, SYS_madvise, long(page), 4096, advice);
    if (r == 0) escaped("advice", SYS_madvise, advice);
  }
}

void* calls(void*) {
  for (;;) {
    getppid();
    char path[] = "/etc/hostname";
    int fd = open(path, O_RDONLY);
    char buffer[64];
    if (fd >= 0) (void)!read(fd, buffer, sizeof buffer), close(fd);
  }
}

uint64_t g_seed = 88172645463325252;
uint64_t random_word() {
  g_seed ^= g_seed << 13;
  g_seed ^= g_seed >> 7;
  return g_seed ^= g_seed << 17;
}

// Writes over the areas of threads that are in calls: everything, then word by word.
void scribble(bool everything) {
  pthread_t t;
  for (int i = 0; i < 2; i++) pthread_create(&t, nullptr, calls, nullptr);
  auto* words = reinterpret_cast<volatile uint64_t*>(kAreas + kAreaSize);
  timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_sec += 1;
  for (;;) {
    const size_t at = random_word() % (everything ? 2 * kAreaSize / 8 : 64);
    const uint64_t v = random_word();
    words[at] = v % 4 == 0 ? v % 16 : v % 4 == 1 ? kBlob + v % 0x2000 : v;
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec > end.tv_sec) return;
  }
}
void scribble_everywhere() { scribble(true); }
void scribble_requests() { scribble(false); }

// Posts of another thread's, made up.
void forged_posts() {
  pthread_t t;
  pthread_create(&t, nullptr, calls, nullptr);
  auto* post = reinterpret_cast<volatile uint32_t*>(kAreas + kAreaSize);
  for (int i = 0; i < 200000; i++) {
    post[0] = uint32_t(random_word() % 12);
    post[1] = uint32_t(i % 500);
  }
}

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

void segment_bases() {
  for (uint64_t base : {uint64_t(0), uint64_t(0x1000), kAreas + 3 * kAreaSize, kBlob,
                        uint64_t(0x7fffffffe000), uint64_t(0x123456789000)}) {
    if (fork() == 0) {
      __asm__ volatile("wrgsbase %0" ::"r"(base));
      for (int i = 0; i < 50; i++) getppid(), getpid();
      _exit(0);
    }
  }
  while (wait(nullptr) > 0) {
  }
}

void old_calls() {
  long r;
  __asm__ volatile("int $0x80" : "=a"(r) : "a"(5), "b"("/etc/passwd"), "c"(0), "d"(0));
  if (r >= 0) escaped("int 0x80", 5, r);
}

void other_conventions() {
  long r;
  char path[] = "/etc/passwd";
  __asm__ volatile("syscall"
                   : "=a"(r)
                   : "a"(0x40000000 | SYS_open), "D"(path), "S"(0)
                   : "rcx", "r11", "memory");
  if (r >= 0) escaped("x32", SYS_open, r);
  auto* time_page = reinterpret_cast<long (*)(long*)>(0xffffffffff600400);
  if (time_page(nullptr) < 1000000) escaped("vsyscall", 0, 0);
}

// A frame for the host's rt_sigreturn: registers, flags and segments of our choice.
void crafted_frame(uint64_t flags, uint64_t segments, uint64_t ip, uint64_t mask, uint64_t fpu) {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  alignas(64) static uint64_t frame[256];
  memset(frame, 0, sizeof frame);
  uint64_t* m = frame + 5;  // uc_flags, uc_link, uc_stack; then the registers.
  m[15] = uint64_t(frame + 200);
  m[16] = ip;
  m[17] = flags;
  m[18] = segments;
  m[23] = fpu;
  frame[5 + 32] = mask;
  __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; jmp *%1" ::"r"(frame), "r"(gadget) : "memory");
}
void frame_with_bad_segments() { crafted_frame(0x202, 0xdeadbeef, kBlob, ~0ull, 0); }
void frame_with_wild_flags() { crafted_frame(~0ull, 0x2b000000000033, kBlob + 0x40, ~0ull, 0); }
void frame_far_away() { crafted_frame(0x202, 0x2b000000000033, 1ull << 63, 0, 0); }
void frame_with_bad_state() { crafted_frame(0x202, 0x2b000000000033, kBlob + 0x40, 0, kBlob + 8); }

void lost_thread() {
  const uint64_t gadget = syscall_gadget();
  if (gadget) through_blob(gadget, SYS_exit, 0);
  for (;;) {
  }
}

void alternate_stack_elsewhere() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  stack_t s{};
  s.ss_sp = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  s.ss_size = 65536;
  through_blob(gadget, SYS_sigaltstack, long(&s), 0);
  getppid();
}

// Jumps to every byte of the blob with the registers of an open(2).
void jump_to(uint64_t at) {
  static char path[] = "/etc/passwd";
  // A stack of zeroes, and a last call here: what returns or resumes does not run on in the
  // program.
  alignas(64) static char stack[65536];
  register uint64_t target __asm__("r15") = at;
  __asm__ volatile(
      "mov %1, %%rsp\n xor %%ebp, %%ebp\n xor %%ebx, %%ebx\n mov $110, %%eax\n syscall\n"
      "mov $2, %%eax\n jmp *%0" ::"r"(target),
      "r"(stack + 32768), "D"(path), "S"(0), "d"(0)
      : "rax", "rcx", "r11", "memory");
}

int run_limited(void (*attack)(), int seconds) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    attack();
    _exit(0);
  }
  int status = 0;
  for (int i = 0; i < seconds * 1000; i++) {
    if (waitpid(child, &status, WNOHANG) == child) return status;
    usleep(i < 20 ? 100 : 1000);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return status;
}

void jump_everywhere() {
  constexpr int kAtOnce = 32;
  for (uint64_t offset = 0; offset < 0x1400; offset += kAtOnce) {
    pid_t children[kAtOnce];
    for (int i = 0; i < kAtOnce; i++) {
      children[i] = fork();
      if (children[i] == 0) {
        jump_to(kBlob + offset + i);
        _exit(0);
      }
    }
    usleep(5000);
    for (pid_t child : children) {
      if (child < 0) perror("fork");
      if (child > 0) kill(child, SIGKILL);
    }
    while (wait(nullptr) > 0) {
    }
  }
}

// The kernel still serves a process that did nothing wrong.
bool still_served() {
  int ends[2];
  if (pipe(ends) < 0) return false;
  const pid_t child = fork();
  if (child == 0) _exit(write(ends[1], "x", 1) == 1 ? 7 : 8);
  char c = 0;
  int status = 0;
  const bool ok = read(ends[0], &c, 1) == 1 && waitpid(child, &status, 0) == child &&
                  WIFEXITED(status) && WEXITSTATUS(status) == 7;
  close(ends[0]);
  close(ends[1]);
  return ok;
}

struct Attack {
  const char* name;
  void (*run)();
  int seconds;
};
const Attack kAttacks[] = {
    {"forbidden calls", forbidden_calls, 5},
    {"own pages of the stub", own_pages_of_the_stub, 5},
    {"poisoned advice", poisoned_advice, 5},
    {"scribble over requests", scribble_requests, 4},
    {"scribble everywhere", scribble_everywhere, 4},
    {"forged posts", forged_posts, 4},
    {"forged forks", forged_forks, 5},
    {"notices of others", notices_of_others, 5},
    {"segment bases", segment_bases, 5},
    {"int 0x80", old_calls, 5},
    {"other conventions", other_conventions, 5},
    {"frame with bad segments", frame_with_bad_segments, 2},
    {"frame with wild flags", frame_with_wild_flags, 2},
    {"frame far away", frame_far_away, 2},
    {"frame with bad state", frame_with_bad_state, 2},
    {"lost thread", lost_thread, 1},
    {"alternate stack elsewhere", alternate_stack_elsewhere, 2},
    {"jump everywhere", jump_everywhere, 60},
};

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  for (const Attack& a : kAttacks) {
    if (argc > 1 && strcmp(argv[1], a.name) != 0) continue;
    const int status = run_limited(a.run, a.seconds);
    if (WIFSIGNALED(status)) {
      printf("%s: signal %d\n", a.name, WTERMSIG(status));
    } else {
      printf("%s: exit %d\n", a.name, WEXITSTATUS(status));
    }
    if (!still_served()) {
      printf("FAILED: after \"%s\" the kernel does not serve any more\n", a.name);
      return 1;
    }
  }
  printf("survived\n");
  return 0;
}
