// A pseudo-terminal of the sandbox whose other end is a socket of the host: usk exec -t.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "base/host_poller.h"
#include "fs/tty/pty.h"
#include "fs/vfs/walk.h"
#include "host/host_fd.h"

namespace usk {

// Holds the master and carries bytes between it and the socket; whoever is at the other end of the
// socket has a terminal in raw mode. When the socket closes, the terminal is hung up.
class RemoteTerminal final : public HostWork {
 public:
  // Opens the /dev/ptmx that `ctx` shows, for its user. Takes a duplicate of `socket`.
  static Result<Ref<RemoteTerminal>> make(std::shared_ptr<HostPoller> poller, int socket,
                                          const WalkContext& ctx, const winsize& size);
  ~RemoteTerminal() override { close(); }

  Tty& tty() const { return *tty_; }
  // An open file of the program's side, which does not become anybody's controlling terminal.
  Result<Ref<File>> open(Ref<const Creds> creds) const;

  // Begins to carry.
  void start();
  void resize(const winsize& size) { tty_->set_window(size); }
  // Called before what was typed is passed on: what was said before that by another way, such as a
  // new size, is heeded first. It may close the terminal.
  void before_input(std::function<void()> heed) { before_input_ = std::move(heed); }
  // The program has ended: hangs up; what was written goes out still, then the socket is closed.
  void finish();
  // At once.
  void close();
  // Carries what there is in both directions.
  void run() override;

 private:
  class Bell;
  RemoteTerminal(std::shared_ptr<HostPoller> poller, UniqueFd socket, Ref<File> master);
  void carry_input();
  // Whether all is out.
  bool carry_output();

  std::shared_ptr<HostPoller> poller_;
  UniqueFd socket_;  // None: closed.
  Ref<File> master_;
  Ref<Tty> tty_;
  Ref<SharedQueue> queue_ = make_ref<SharedQueue>();
  Ref<Waiter> bell_;
  std::function<void()> before_input_;
  bool finishing_ = false;
  std::vector<std::byte> unwritten_;
};

}  // namespace usk
