#include "host/terminal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "host/call.h"
#include "host/confinement.h"

namespace usk::host {
namespace {

// What the guard is told.
constexpr char kArm = 'a', kEnd = 'e';

// In the child, after a fork of a process with one thread. Its own session keeps it clear of the
// terminal's signals and lets it change the attributes whoever is in the foreground.
[[noreturn]] void watch_life(int life, int terminal, const struct termios2& saved) {
  setsid();
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGSYS);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  prctl(PR_SET_NAME, "usk-terminal");
  const int from = fcntl(life, F_DUPFD, 10), to = fcntl(terminal, F_DUPFD, 10);
  const int record = recording() >= 0 ? fcntl(recording(), F_DUPFD, 10) : -1;
  dup2(from, 0);
  dup2(to, 1);
  if (record >= 0) set_confinement(Confinement::kRecord, dup2(record, 2));
  syscall(SYS_close_range, record >= 0 ? 3u : 2u, ~0u, 0u);
  if (!confine(kTerminal)) _exit(1);
  char byte = 0;
  bool armed = false;
  ssize_t n;
  do {
    n = read(0, &byte, 1);
    armed |= n == 1 && byte == kArm;
  } while ((n < 0 && errno == EINTR) || (n == 1 && byte != kEnd));
  if (n == 0 && armed) ioctl(1, TCSETS2, &saved);
  _exit(0);
}

}  // namespace

Result<struct termios2> terminal_attributes(int fd) {
  struct termios2 t;
  if (guarded(SYS_ioctl, fd, TCGETS2, &t) < 0) return Err(errno);
  return t;
}

Result<void> set_terminal_attributes(int fd, const struct termios2& t) {
  if (guarded(SYS_ioctl, fd, TCSETS2, &t) < 0) return Err(errno);
  return {};
}

Result<winsize> terminal_size(int fd) {
  winsize size;
  if (guarded(SYS_ioctl, fd, TIOCGWINSZ, &size) < 0) return Err(errno);
  return size;
}

bool in_foreground(int fd) {
  int group = 0;
  return guarded(SYS_ioctl, fd, TIOCGPGRP, &group) == 0 && group == guarded(SYS_getpgid, 0);
}

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

void TerminalGuard::arm() {
  if (!std::exchange(armed_, true)) (void)guarded(SYS_write, life_.get(), &kArm, 1);
}

TerminalGuard::~TerminalGuard() {
  if (!life_) return;
  if (armed_) (void)set_terminal_attributes(fd_, saved_);
  (void)guarded(SYS_write, life_.get(), &kEnd, 1);
  // If the loop that waits for stubs has reaped it before, there is nothing to wait for.
  (void)guarded(SYS_wait4, child_, nullptr, 0, nullptr);
}

}  // namespace usk::host
