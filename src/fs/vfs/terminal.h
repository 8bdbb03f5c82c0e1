// A terminal as the kernel sees it through a session. The line discipline is fs/tty.
#pragma once
#include "base/ref.h"
#include "fs/vfs/caller.h"
#include "fs/vfs/types.h"

namespace usk {

class Terminal : public RefCounted {
 public:
  // For tty_nr and tpgid of /proc/PID/stat.
  virtual Dev dev() const = 0;
  virtual GroupId foreground() = 0;
  // The leader of `session`, whose terminal this is, exited: the terminal loses its session and
  // hangs up for it (exit(2)).
  virtual void leader_exited(SessionId session) = 0;
};

}  // namespace usk
