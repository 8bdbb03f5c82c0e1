// A guest that attacks the stub it runs in. Each attack is made by a child process, which may die
// or hang; this program then sees whether the kernel still serves it, and whether a host call came
// through. It prints one line for each attack; "ESCAPE" in one of them is a failure.
//
// usage: hostile [-v PID DIRECTORY] [ATTACK]; -v: a process and a directory outside to be attacked.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attacks.h"

uint64_t syscall_gadget() {
  const auto* p = reinterpret_cast<const unsigned char*>(kBlob);
  for (size_t i = 0; i + 3 < 0x1000; i++) {
    if (p[i] == 0x0f && p[i + 1] == 0x05 && p[i + 2] == 0xc3) return kBlob + i;
  }
  _exit(0);
}

namespace {
sigjmp_buf g_unreadable;
void unreadable(int) { siglongjmp(g_unreadable, 1); }
}  // namespace

size_t blob_size() {
  signal(SIGSEGV, unreadable);
  volatile size_t size = 0;
  if (sigsetjmp(g_unreadable, 1) == 0) {
    for (; size < USK_BLOB_END - kBlob; size = size + 4096) {
      (void)*reinterpret_cast<volatile char*>(kBlob + size);
    }
  }
  signal(SIGSEGV, SIG_DFL);
  size_t used = size;
  while (used > 0 && *reinterpret_cast<char*>(kBlob + used - 1) == 0) used--;
  return used;
}

long through_blob(uint64_t gadget, long nr, long a, long b, long c, long d, long e, long f) {
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

usk::trap::Area* own_area() {
  uint64_t base;
  __asm__ volatile("rdgsbase %0" : "=r"(base));
  return reinterpret_cast<usk::trap::Area*>(base);
}

void escaped(const char* what, long nr, long result) {
  printf("ESCAPE: %s: call %ld returned %ld\n", what, nr, result);
  fflush(stdout);
  _exit(99);
}

uint64_t random_word() {
  static uint64_t seed = 88172645463325252;
  seed ^= seed << 13;
  seed ^= seed >> 7;
  return seed ^= seed << 17;
}

namespace {

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
    {"edges of the blob", edges_of_the_blob, 5},
    {"effects on the host", effects_on_the_host, 5},
    {"readonly files", readonly_files, 5},
    {"poisoned advice", poisoned_advice, 5},
    {"scribble over requests", scribble_requests, 4},
    {"scribble everywhere", scribble_everywhere, 4},
    {"scribble over oneself", scribble_over_oneself, 4},
    {"forged posts", forged_posts, 4},
    {"forged orders", forged_orders, 4},
    {"forged forks", forged_forks, 5},
    {"notices of others", notices_of_others, 5},
    {"lies about waits", lies_about_waits, 5},
    {"false sleepers", false_sleepers, 5},
    {"words that stubs sleep on", words_that_stubs_sleep_on, 5},
    {"forged waits", forged_waits, 5},
    {"bells of others", bells_of_others, 5},
    {"stray child", stray_child, 2},
    {"silent child", silent_child, 3},
    {"mapping that is only told of", mapping_that_is_only_told_of, 3},
    {"child with areas of its parent", child_with_areas_of_its_parent, 5},
    {"child that outlives", child_that_outlives, 2},
    {"child of another number", child_of_another_number, 3},
    {"threads that do not end", threads_that_do_not_end, 10},
    {"stubborn thread", stubborn_thread, 10},
    {"stubborn thread behind a flood", stubborn_thread_behind_a_flood, 10},
    {"memory of the dead", memory_of_the_dead, 3},
    {"segment bases", segment_bases, 5},
    {"areas of others", areas_of_others, 5},
    {"int 0x80", old_calls, 5},
    {"code of 32 bits", code_of_32_bits, 3},
    {"other conventions", other_conventions, 5},
    {"frame with bad segments", frame_with_bad_segments, 2},
    {"frame with wild flags", frame_with_wild_flags, 2},
    {"frame far away", frame_far_away, 2},
    {"frame with bad state", frame_with_bad_state, 2},
    {"frames of the host", frames_of_the_host, 20},
    {"frames of the kernel", frames_of_the_kernel, 20},
    {"patched sites", patched_sites, 20},
    {"lost thread", lost_thread, 1},
    {"alternate stack elsewhere", alternate_stack_elsewhere, 2},
    {"jump everywhere", jump_everywhere, 90},
};

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  if (argc > 3 && strcmp(argv[1], "-v") == 0) {
    set_victim(atoi(argv[2]), argv[3]);
    argc -= 3, argv += 3;
  }
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
