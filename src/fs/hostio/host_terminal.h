// The terminal that the sandbox was started at, as a terminal of the guest.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "base/host_poller.h"
#include "base/timer.h"
#include "fs/tty/tty.h"
#include "host/terminal.h"

namespace usk {

// Carries bytes between the host's terminal and a Tty. The host's terminal is in raw mode from
// start() to stop(), so that line editing, echo and signals all happen in the Tty; its settings
// come back however the process ends.
//
// Without the right to read (standard input is something else, or the sandbox runs in the
// background) only output is carried, and the host's settings stay as they are.
class HostTerminal final : public HostWork {
 public:
  // The terminal that one of descriptors 0 to 2 is, which gets the guest's number `dev`. Null:
  // none is.
  static Result<Ref<HostTerminal>> find(std::shared_ptr<HostPoller> poller, Dev dev);

  const Ref<Tty>& tty() const { return tty_; }
  // Before start(): carries for a terminal that another sandbox's process had.
  void serve(Ref<Tty> tty);
  // Whether host descriptor `fd` is this terminal.
  bool is(int fd) const;

  Result<void> start();
  // What programs still had to say goes out, as far as it does within a second.
  void stop();
  // Instead: the Tty has been saved, and all that is in it is for whoever restores it.
  void leave();
  // Carries what there is in both directions.
  void run() override;

 private:
  class Bell;
  class LateLook;
  HostTerminal(std::shared_ptr<HostPoller> poller, Ref<Tty> tty, UniqueFd fd, dev_t host_dev,
               bool has_input, const struct termios2& saved);
  Result<void> take_over();
  Result<void> go_raw();
  bool may_not_wait() const;
  void heed_signals();
  void follow_size();
  void carry_input();
  // Whether all is out.
  bool carry_output();
  bool fetch_output();

  std::shared_ptr<HostPoller> poller_;
  Ref<Tty> tty_;
  UniqueFd fd_;  // A non-blocking description of our own, or else a shared one.
  dev_t host_dev_;
  bool has_input_;
  bool reading_ = false;
  bool left_ = false;
  struct termios2 saved_;
  UniqueFd signals_;
  Ref<SharedQueue> queue_ = make_ref<SharedQueue>();
  Ref<Waiter> bell_;
  Ref<TimerClient> late_look_;  // Looks at the size once more, a moment after SIGWINCH.
  std::optional<host::TerminalGuard> guard_;
  std::vector<std::byte> unwritten_;
};

}  // namespace usk
