// A tracer and its tracee: an instruction, a system call and a word of memory at a time.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "bench.h"

using bench::must;
using bench::row;

namespace {

volatile long g_word = 1;

// Stops once, then makes calls for ever.
[[noreturn]] void be_traced() {
  must(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0, "PTRACE_TRACEME");
  raise(SIGSTOP);
  for (;;) syscall(SYS_getppid);
}

void until_stopped(pid_t pid) {
  int status;
  must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "tracee");
}

void resume(pid_t pid, __ptrace_request how) {
  must(ptrace(how, pid, nullptr, nullptr) == 0, "resume");
  until_stopped(pid);
}

}  // namespace

int main(int argc, char** argv) {
  bench::choose_rows(argc, argv);
  const pid_t pid = fork();
  if (pid == 0) be_traced();
  must(pid > 0, "fork");
  until_stopped(pid);
  row("single-step", [pid] { resume(pid, PTRACE_SINGLESTEP); });
  row("traced-call", [pid] {  // Both stops of a call.
    resume(pid, PTRACE_SYSCALL);
    resume(pid, PTRACE_SYSCALL);
  });
  row("tracee-registers", [pid] {
    user_regs_struct registers;
    must(ptrace(PTRACE_GETREGS, pid, nullptr, &registers) == 0, "PTRACE_GETREGS");
  });
  row("tracee-word",
      [pid] { must(ptrace(PTRACE_PEEKDATA, pid, &g_word, nullptr) == 1, "PTRACE_PEEKDATA"); });
  kill(pid, SIGKILL);
  return 0;
}
