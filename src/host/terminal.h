// The terminal outside: ioctl_tty(2).
#pragma once
#include <asm/termbits.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// ENOTTY: `fd` is no terminal.
Result<struct termios2> terminal_attributes(int fd);
Result<void> set_terminal_attributes(int fd, const struct termios2& t);
Result<winsize> terminal_size(int fd);
// Whether this process may read from the terminal and change it.
bool in_foreground(int fd);
// Every byte as it is, in both directions.
struct termios2 raw_attributes(const struct termios2& t);

// Gives a terminal its attributes back when it goes (once it is armed), and a child process sees to
// it when this process dies of whatever cause.
class TerminalGuard {
 public:
  static Result<TerminalGuard> make(int fd, const struct termios2& saved);
  TerminalGuard(TerminalGuard&& o) noexcept
      : fd_(o.fd_),
        saved_(o.saved_),
        life_(std::move(o.life_)),
        child_(o.child_),
        armed_(o.armed_) {}
  ~TerminalGuard();
  // Before the attributes are changed: until then nothing is to be given back.
  void arm();

 private:
  TerminalGuard(int fd, const struct termios2& saved, UniqueFd life, pid_t child)
      : fd_(fd), saved_(saved), life_(std::move(life)), child_(child) {}
  int fd_;
  struct termios2 saved_;
  UniqueFd life_;  // The child sees it close.
  pid_t child_;
  bool armed_ = false;
};

}  // namespace usk::host
