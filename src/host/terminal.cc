#include "host/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace usk::host {
namespace {

// In the child, after a fork: only async-signal-safe calls. Its own session keeps it clear of the
// terminal's signals and lets it change the attributes whoever is in the foreground.
[[noreturn]] void watch_life(int life, int terminal, const struct termios2& saved) {
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  prctl(PR_SET_NAME, "usk-terminal");
  const int from = fcntl(life, F_DUPFD, 10), to = fcntl(terminal, F_DUPFD, 10);
  dup2(from, 0);
  dup2(to, 1);
  syscall(SYS_close_range, 2u, ~0u, 0u);
  char byte;
  ssize_t n;
  do {
    n = read(0, &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n == 0) ioctl(1, TCSETS2, &saved);
  _exit(0);
}

}  // namespace

Result<struct termios2> terminal_attributes(int fd) {
  struct termios2 t;
  if (ioctl(fd, TCGETS2, &t) < 0) return Err(errno);
  return t;
}

Result<void> set_terminal_attributes(int fd, const struct termios2& t) {
  if (ioctl(fd, TCSETS2, &t) < 0) return Err(errno);
  return {};
}

Result<winsize> terminal_size(int fd) {
  winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) < 0) return Err(errno);
  return size;
}

bool in_foreground(int fd) { return tcgetpgrp(fd) == getpgrp(); }

struct termios2 raw_attributes(const struct termios2& t) {
  struct termios2 raw = t;
  raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXOFF);
  raw.c_oflag &= ~OPOST;
  raw.c_lflag &= ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  raw.c_cflag = (raw.c_cflag & ~(CSIZE | PARENB)) | CS8;
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  return raw;
}

Result<TerminalGuard> TerminalGuard::make(int fd, const struct termios2& saved) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return Err(errno);
  UniqueFd theirs(ends[0]), ours(ends[1]);
  const pid_t child = fork();
  if (child < 0) return Err(errno);
  if (child == 0) watch_life(theirs.get(), fd, saved);
  return TerminalGuard(fd, saved, std::move(ours), child);
}

TerminalGuard::~TerminalGuard() {
  if (!life_) return;
  (void)set_terminal_attributes(fd_, saved_);
  (void)!write(life_.get(), "", 1);
  // If the loop that waits for stubs has reaped it before, there is nothing to wait for.
  waitpid(child_, nullptr, 0);
}

}  // namespace usk::host
