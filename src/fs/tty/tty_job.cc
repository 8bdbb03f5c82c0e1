// Job control of terminals: credentials(7), ioctl_tty(2), tcsetpgrp(3).
#include <linux/capability.h>
#include <signal.h>

#include "fs/tty/tty.h"

namespace usk {
namespace {

bool is_terminal_of(const Tty& tty, Caller& caller) {
  return caller.controlling_terminal().get() == &tty;
}

}  // namespace

GroupId Tty::foreground() {
  Lock lock(mu_);
  return foreground_;
}

bool Tty::stops_background_output() {
  Lock lock(mu_);
  return line_.termios().l(TOSTOP);
}

Result<File::IoVerdict> Tty::check_foreground(Caller& caller, int signal) {
  if (!is_terminal_of(*this, caller)) return File::IoVerdict::kGo;
  const GroupId group = caller.group();
  const GroupId front = foreground();
  if (front == 0 || front == group) return File::IoVerdict::kGo;
  if (caller.ignores_or_blocks(signal)) {
    if (signal == SIGTTIN) return Err(EIO);
    return File::IoVerdict::kGo;
  }
  if (caller.group_is_orphaned()) return Err(EIO);
  job_control().signal_group(group, signal);
  return File::IoVerdict::kSignalled;
}

void Tty::adopt_leader(Caller& caller) {
  if (!caller.is_session_leader() || caller.controlling_terminal()) return;
  {
    Lock lock(mu_);
    if (session_ != 0 || dead_) return;
    session_ = caller.session();
    foreground_ = caller.group();
  }
  caller.set_controlling_terminal(Ref<Terminal>::share(this));
}

// TIOCSCTTY
Result<void> Tty::become_controlling(Caller& caller, bool steal) {
  SessionId robbed;
  {
    Lock lock(mu_);
    if (caller.is_session_leader() && session_ == caller.session()) return {};
    if (!caller.is_session_leader() || caller.controlling_terminal()) return Err(EPERM);
    if (session_ != 0 && !(steal && caller.creds().capable_in_root(CAP_SYS_ADMIN))) {
      return Err(EPERM);
    }
    robbed = session_;
    session_ = caller.session();
    foreground_ = caller.group();
  }
  if (robbed) job_control().forget_terminal(robbed);
  caller.set_controlling_terminal(Ref<Terminal>::share(this));
  return {};
}

// TIOCNOTTY
Result<void> Tty::give_up(Caller& caller) {
  if (!is_terminal_of(*this, caller)) return Err(ENOTTY);
  if (!caller.is_session_leader()) {
    caller.set_controlling_terminal({});
    return {};
  }
  GroupId front;
  SessionId session;
  {
    Lock lock(mu_);
    front = std::exchange(foreground_, 0);
    session = std::exchange(session_, 0);
  }
  if (front) {
    job_control().signal_group(front, SIGHUP);
    job_control().signal_group(front, SIGCONT);
  }
  if (session) job_control().forget_terminal(session);
  return {};
}

void Tty::leader_exited(SessionId session) {
  if (!is_pty_) {
    {
      Lock lock(mu_);
      if (session_ != session) return;
    }
    return hang_up(false);  // Linux: a real terminal is hung up for whoever has it open.
  }
  GroupId front;
  {
    Lock lock(mu_);
    if (session_ != session) return;
    front = std::exchange(foreground_, 0);
    session_ = 0;
  }
  if (front) job_control().signal_group(front, SIGHUP);
  job_control().forget_terminal(session);
}

void Tty::hang_up(bool for_ever) {
  GroupId front;
  SessionId session;
  TtyEffects fx;
  {
    Lock lock(mu_);
    if (dead_) return;
    dead_ = for_ever;
    ++era_;
    line_.start(true, fx);
    line_.flush_input(fx);
    line_.set_termios(Termios(), fx);
    pending_.clear();
    front = std::exchange(foreground_, 0);
    session = std::exchange(session_, 0);
  }
  if (session) job_control().hang_up(session, front);
  queue_.wake(POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM);
}

void Tty::signal_foreground(int signal) {
  const GroupId front = foreground();
  if (front) job_control().signal_group(front, signal);
}

// TIOCSPGRP
Result<void> Tty::set_foreground(Caller& caller, int guest_group) {
  if (!is_terminal_of(*this, caller)) return Err(ENOTTY);
  Lock lock(mu_);
  if (session_ != caller.session()) return Err(ENOTTY);
  if (guest_group < 0) return Err(EINVAL);
  const GroupId group = caller.group_from_guest(guest_group);
  const SessionId owner = group ? caller.session_of_group(group) : 0;
  if (owner == 0) return Err(ESRCH);
  if (owner != session_) return Err(EPERM);
  foreground_ = group;
  return {};
}

Result<int64_t> Tty::ioctl_job(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device) {
  const bool mine = from_device || is_terminal_of(*this, caller);
  switch (cmd) {
    case TIOCSCTTY:
      if (from_device) return Err(EPERM);
      TRY(become_controlling(caller, arg == 1));
      return 0;
    case TIOCNOTTY: TRY(give_up(caller)); return 0;
    case TIOCGPGRP: {
      if (!mine) return Err(ENOTTY);
      const GroupId front = foreground();
      TRY(caller.put(arg, front ? caller.group_to_guest(front) : 0));
      return 0;
    }
    case TIOCSPGRP: {
      const int group = TRY(caller.get<int>(arg));
      TRY(set_foreground(caller, group));
      return 0;
    }
    case TIOCGSID: {
      SessionId session;
      {
        Lock lock(mu_);
        session = session_;
      }
      if (!mine || session == 0) return Err(ENOTTY);
      TRY(caller.put(arg, caller.group_to_guest(session)));
      return 0;
    }
    default: return Err(ENOTTY);
  }
}

}  // namespace usk
