#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/guest/policy/policy.h"

namespace {

volatile int handled;
sigjmp_buf place;

void count(int) { handled = handled + 1; }
void raise_another(int) {
  raise(SIGUSR1);
  handled = handled + 10;
}
void jump_out(int) { siglongjmp(place, 1); }
void change_context(int, siginfo_t*, void* context) {
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RBX] = 7;
}
void fork_inside(int) {
  const pid_t pid = fork();
  if (pid == 0) return;
  int status;
  waitpid(pid, &status, 0);
  handled = handled + (status == 0 ? 100 : 0);
}

void handle(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(signal, &action, nullptr);
}

// The frame is copied, and left as if it were the real one.
alignas(64) char copy[4096];
void leave_by_copy(int, siginfo_t*, void* context) {
  memcpy(copy, context, 440 - 8);
  __asm__ volatile("mov %0, %%rsp; mov $15, %%eax; syscall" ::"r"(copy));
}

}  // namespace

int return_from_signals() {
  handle(SIGUSR1, count);
  handle(SIGUSR2, raise_another);
  raise(SIGUSR1);
  raise(SIGUSR2);
  static char stack[1 << 16];
  const stack_t other = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof stack};
  sigaltstack(&other, nullptr);
  handle(SIGUSR2, raise_another, SA_ONSTACK);
  raise(SIGUSR2);
  handle(SIGALRM, jump_out);
  if (sigsetjmp(place, 1) == 0) raise(SIGALRM);
  const pid_t parent = getpid();
  handle(SIGHUP, fork_inside);
  raise(SIGHUP);
  if (getpid() != parent) _exit(0);
  struct sigaction action{};
  action.sa_sigaction = change_context;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTERM, &action, nullptr);
  raise(SIGTERM);
  printf("%d\n", handled);
  return 0;
}

int return_from_forged_frame() {
  struct sigaction action{};
  action.sa_sigaction = leave_by_copy;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &action, nullptr);
  raise(SIGUSR1);
  puts("returned");
  return 0;
}
