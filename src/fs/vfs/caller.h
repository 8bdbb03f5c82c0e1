// The process-side questions that files ask: whose call is this, and may it use its terminal?
#pragma once
#include <cstdint>
#include <span>

#include "base/ref.h"
#include "base/result.h"
#include "creds/creds.h"

namespace usk {

class Terminal;  // A terminal as job control sees it (fs/vfs/terminal.h).

// Sessions and process groups are named by kernel ids (ids of the initial pid namespace).
using SessionId = int;
using GroupId = int;

// The task that makes a call, as far as files may see it. Implemented by the kernel.
class Caller {
 public:
  virtual ~Caller() = default;
  virtual const Creds& creds() const = 0;

  // Guest memory, for ioctl(2) arguments.
  virtual Result<void> copy_in(std::span<std::byte> dst, uint64_t addr) = 0;
  virtual Result<void> copy_out(uint64_t addr, std::span<const std::byte> src) = 0;
  template <class T>
  Result<T> get(uint64_t addr) {
    T v;
    TRY(copy_in(std::as_writable_bytes(std::span(&v, 1)), addr));
    return v;
  }
  template <class T>
  Result<void> put(uint64_t addr, const T& v) {
    return copy_out(addr, std::as_bytes(std::span(&v, 1)));
  }

  // Job control: credentials(7), setsid(2), ioctl_tty(2), tcsetpgrp(3).
  virtual SessionId session() = 0;
  virtual GroupId group() = 0;
  virtual bool is_session_leader() = 0;
  virtual bool group_is_orphaned() = 0;
  virtual bool ignores_or_blocks(int signal) = 0;
  // The terminal of the caller's session, or null; setting it is the leader's business.
  virtual Ref<Terminal> controlling_terminal() = 0;
  virtual void set_controlling_terminal(Ref<Terminal> terminal) = 0;  // Null: give it up.
  // Translation of process group and session ids for the caller's pid namespace; 0 if unknown.
  virtual int group_to_guest(GroupId id) = 0;
  virtual GroupId group_from_guest(int id) = 0;
  // The session a process group belongs to; 0 if there is no such group.
  virtual SessionId session_of_group(GroupId id) = 0;
  // Process ids (of thread groups), as kernel ids and as the caller's pid namespace has them; 0
  // if unknown. For SCM_CREDENTIALS and SO_PEERCRED.
  virtual int process() { return 0; }
  virtual int process_to_guest(int id) { return id; }
  // Allocates a descriptor for a file made by an ioctl (TIOCGPTPEER).
  virtual Result<int> add_fd(Ref<class File> file, bool cloexec) = 0;
};

// Signals that terminals send. The kernel installs itself at boot.
class JobControl {
 public:
  virtual ~JobControl() = default;
  virtual void signal_group(GroupId group, int signal) = 0;
  // The terminal hung up: SIGHUP and SIGCONT to the session leader and to the foreground
  // group, and the session loses its terminal.
  virtual void hang_up(SessionId session, GroupId foreground) = 0;
  // The session has no controlling terminal any more (TIOCNOTTY by its leader, TIOCSCTTY
  // stealing by another session).
  virtual void forget_terminal(SessionId session) = 0;
};
void set_job_control(JobControl* jc);
JobControl& job_control();

}  // namespace usk
