// Attributes, flow control and the rest of ioctl_tty(2).
#include <linux/capability.h>
#include <signal.h>
#include <sys/sysmacros.h>

#include "fs/tty/tty.h"

namespace usk {
namespace {

// ^S and ^Q are handled here, with the usual characters: what TIOCPKT_DOSTOP announces.
bool has_usual_flow(const Termios& t) {
  return t.i(IXON) && t.cc[VSTOP] == 0x13 && t.cc[VSTART] == 0x11;
}

// Linux's new_encode_dev.
uint32_t encode_dev(Dev dev) {
  return (minor(dev) & 0xff) | (major(dev) << 8) | ((minor(dev) & ~0xffu) << 12);
}

}  // namespace

Termios Tty::attributes() {
  Lock lock(mu_);
  return line_.termios();
}

void Tty::set_attributes(const Termios& t, bool flush_input) {
  TtyEffects fx;
  GroupId front;
  {
    Lock lock(mu_);
    const Termios old = line_.termios();
    if (flush_input) {
      line_.flush_input(fx);
      pending_.clear();
    }
    line_.set_termios(t, fx);
    if (has_usual_flow(old) != has_usual_flow(t)) {
      fx.packet |= has_usual_flow(t) ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP;
    }
    if (old.l(EXTPROC) || t.l(EXTPROC)) fx.packet |= TIOCPKT_IOCTL;
    pump_locked(fx);
    front = settle_locked(fx);
  }
  act(fx, front);
}

Result<int64_t> Tty::ioctl_attributes(Caller& caller, uint32_t cmd, uint64_t arg) {
  // Output is with the device as soon as it is written: nothing to wait for (TCSETSW).
  switch (cmd) {
    case TCGETS: TRY(caller.put(arg, to_guest(attributes()))); return 0;
    case TCGETS2: TRY(caller.put(arg, to_guest2(attributes()))); return 0;
    case TCGETA: TRY(caller.put(arg, to_guest_old(attributes()))); return 0;
    case TCSETS:
    case TCSETSW:
    case TCSETSF: {
      const auto guest = TRY(caller.get<GuestTermios>(arg));
      set_attributes(from_guest(attributes(), guest), cmd == TCSETSF);
      return 0;
    }
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2: {
      const auto guest = TRY(caller.get<GuestTermios2>(arg));
      set_attributes(from_guest(attributes(), guest), cmd == TCSETSF2);
      return 0;
    }
    case TCSETA:
    case TCSETAW:
    case TCSETAF: {
      const auto guest = TRY(caller.get<GuestTermio>(arg));
      set_attributes(from_guest(attributes(), guest), cmd == TCSETAF);
      return 0;
    }
    default: return Err(ENOTTY);
  }
}

void Tty::flush(bool input, bool output) {
  TtyEffects fx;
  GroupId front;
  {
    Lock lock(mu_);
    if (input) {
      line_.flush_input(fx);
      pending_.clear();
    }
    if (output) line_.flush_output(fx);
    front = settle_locked(fx);
  }
  act(fx, front);
  if (input) device_queue_.wake(POLLOUT | POLLWRNORM);
}

Result<void> Tty::control_flow(int action) {
  TtyEffects fx;
  GroupId front;
  {
    Lock lock(mu_);
    switch (action) {
      case TCOOFF: line_.stop(true, fx); break;
      case TCOON: line_.start(true, fx); break;
      case TCIOFF: line_.send(line_.termios().cc[VSTOP], fx); break;
      case TCION: line_.send(line_.termios().cc[VSTART], fx); break;
      default: return Err(EINVAL);
    }
    front = settle_locked(fx);
  }
  act(fx, front);
  return {};
}

// TIOCSTI. Reaches only this terminal, never the host's (Linux's dev.tty.legacy_tiocsti=1).
Result<void> Tty::steal_input(Caller& caller, uint64_t arg) {
  if (caller.controlling_terminal().get() != this &&
      !caller.creds().capable_in_root(CAP_SYS_ADMIN)) {
    return Err(EPERM);
  }
  const auto c = TRY(caller.get<uint8_t>(arg));
  receive({&c, 1});
  return {};
}

Result<int64_t> Tty::ioctl_flow(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device) {
  switch (cmd) {
    case TCFLSH: {
      if (arg != TCIFLUSH && arg != TCOFLUSH && arg != TCIOFLUSH) return Err(EINVAL);
      // What is input to one side is output of the other.
      const bool in = arg != TCOFLUSH, out = arg != TCIFLUSH;
      flush(from_device ? out : in, from_device ? in : out);
      return 0;
    }
    case TCXONC: TRY(control_flow(int(arg))); return 0;
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
    case TIOCCBRK: return 0;  // Nobody to see a break.
    case TIOCSTI: TRY(steal_input(caller, arg)); return 0;
    case TIOCOUTQ: TRY(caller.put(arg, 0)); return 0;
    case TIOCINQ: {
      int n;
      {
        Lock lock(mu_);
        n = int(from_device ? line_.output_bytes() : line_.readable_bytes());
      }
      TRY(caller.put(arg, n));
      return 0;
    }
    default: return Err(ENOTTY);
  }
}

void Tty::set_window(const winsize& size) {
  GroupId front;
  {
    Lock lock(mu_);
    if (memcmp(&size, &window_, sizeof size) == 0) return;
    window_ = size;
    front = foreground_;
  }
  if (front) job_control().signal_group(front, SIGWINCH);
}

winsize Tty::window() {
  Lock lock(mu_);
  return window_;
}

Result<int64_t> Tty::ioctl_other(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device) {
  const bool admin = caller.creds().capable_in_root(CAP_SYS_ADMIN);
  switch (cmd) {
    case TIOCGWINSZ: TRY(caller.put(arg, window())); return 0;
    case TIOCSWINSZ: set_window(TRY(caller.get<winsize>(arg))); return 0;
    case TIOCEXCL:
    case TIOCNXCL: {
      Lock lock(mu_);
      exclusive_ = cmd == TIOCEXCL;
      return 0;
    }
    case TIOCGEXCL: {
      int exclusive;
      {
        Lock lock(mu_);
        exclusive = exclusive_;
      }
      TRY(caller.put(arg, exclusive));
      return 0;
    }
    case TIOCGETD: TRY(caller.put(arg, N_TTY)); return 0;
    case TIOCSETD:
      if (TRY(caller.get<int>(arg)) != N_TTY) return Err(EINVAL);
      return 0;
    case TIOCGDEV: TRY(caller.put(arg, encode_dev(dev_))); return 0;
    case TIOCGSOFTCAR: TRY(caller.put(arg, int(bool(attributes().cflag & CLOCAL)))); return 0;
    case TIOCVHANGUP:
      if (!admin) return Err(EPERM);
      hang_up(false);
      return 0;
    default: return Err(ENOTTY);
  }
}

Result<int64_t> Tty::ioctl(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device) {
  auto done = ioctl_attributes(caller, cmd, arg);
  if (failed_with(done, ENOTTY)) done = ioctl_flow(caller, cmd, arg, from_device);
  if (failed_with(done, ENOTTY)) done = ioctl_job(caller, cmd, arg, from_device);
  if (failed_with(done, ENOTTY)) done = ioctl_other(caller, cmd, arg, from_device);
  return done;
}

}  // namespace usk
