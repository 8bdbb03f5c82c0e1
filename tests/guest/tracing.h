// What the tests of ptrace(2) share.
#pragma once
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "tests/guest/harness.h"

namespace guest {

// ptrace(2) as the kernel has it: a word that is peeked comes by way of `data`.
template <class A, class D>
long raw_ptrace(long request, pid_t pid, A addr, D data) {
  return syscall(SYS_ptrace, request, long(pid), (long)addr, (long)data);
}

// The next report about `pid`; what waitpid(2) says of it.
inline int next_status(pid_t pid) {
  int status = 0;
  pid_t got;
  while ((got = waitpid(pid, &status, __WALL)) == -1 && errno == EINTR) {
  }
  if (got != pid) {
    fail(__FILE__, __LINE__, "waitpid: " + (got == -1 ? describe_errno(errno) : describe(got)));
    abandon();
  }
  return status;
}

// A stop as wait(2) shows it: signal in bits 8 to 15, the event above.
constexpr int stop_of(int signal, int event = 0) { return 0x7f | signal << 8 | event << 16; }

inline std::string describe_stop(int status) {
  char text[32];
  snprintf(text, sizeof text, "%#x", unsigned(status));
  return text;
}

#define EXPECT_STOP(pid, ...)                              \
  EXPECT_EQ(guest::describe_stop(guest::next_status(pid)), \
            guest::describe_stop(guest::stop_of(__VA_ARGS__)))
#define EXPECT_STATUS(pid, status) \
  EXPECT_EQ(guest::describe_stop(guest::next_status(pid)), guest::describe_stop(status))

// A child that asked to be traced and has stopped itself with SIGSTOP; `body` is what it does when
// it goes on.
template <class F>
pid_t traced_child(F body, long options = 0) {
  const pid_t pid = fork_child([&] {
    if (raw_ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(77);
    raise(SIGSTOP);
    body();
  });
  EXPECT_STOP(pid, SIGSTOP);
  if (options) {
    if (raw_ptrace(PTRACE_SETOPTIONS, pid, 0, options) != 0) abandon();
  }
  return pid;
}

// A child that knows nothing; it runs when this returns.
template <class F>
pid_t plain_child(F body) {
  int ready[2];
  if (pipe(ready) != 0) abandon();
  const pid_t pid = fork_child([&] {
    (void)!write(ready[1], "x", 1);
    body();
  });
  char byte;
  (void)!read(ready[0], &byte, 1);
  close(ready[0]);
  close(ready[1]);
  return pid;
}

inline user_regs_struct get_regs(pid_t pid) {
  user_regs_struct r{};
  if (raw_ptrace(PTRACE_GETREGS, pid, 0, &r) != 0) {
    fail(__FILE__, __LINE__, "PTRACE_GETREGS: " + describe_errno(errno));
    abandon();
  }
  return r;
}
inline void set_regs(pid_t pid, const user_regs_struct& r) {
  if (raw_ptrace(PTRACE_SETREGS, pid, 0, &r) != 0) {
    fail(__FILE__, __LINE__, "PTRACE_SETREGS: " + describe_errno(errno));
    abandon();
  }
}
inline unsigned long event_message(pid_t pid) {
  unsigned long message = ~0ul;
  raw_ptrace(PTRACE_GETEVENTMSG, pid, 0, &message);
  return message;
}

}  // namespace guest
