#include "fs/hostio/remote_terminal.h"

#include <fcntl.h>

#include <algorithm>
#include <array>

#include "fs/vfs/vfs_ops.h"
#include "host/file_io.h"
#include "host/stream.h"

namespace usk {
namespace {

constexpr size_t kChunk = 4096;

}  // namespace

// Asks for a run() when either side has something.
class RemoteTerminal::Bell final : public Waiter {
 public:
  explicit Bell(RemoteTerminal& terminal) : terminal_(&terminal) {}
  void notify(PollMask) override {
    Lock lock(mu_);
    if (terminal_) terminal_->poller_->run_soon(Ref<HostWork>::share(terminal_));
  }
  void silence() {
    Lock lock(mu_);
    terminal_ = nullptr;
  }

 private:
  Mutex<Rank::kEpollReady> mu_;
  RemoteTerminal* terminal_ GUARDED_BY(mu_);
};

Result<Ref<RemoteTerminal>> RemoteTerminal::make(std::shared_ptr<HostPoller> poller, int socket,
                                                 const WalkContext& ctx, const winsize& size) {
  UniqueFd own = TRY(host::duplicate(socket));
  const Path ptmx = TRY(walk(ctx, ctx.root, "/dev/ptmx", kFollow));
  // The guest may have put anything in this place: only a terminal will do, and no other file is
  // opened for it.
  if (!S_ISCHR(TRY(ptmx.inode().getattr()).mode)) return Err(ENODEV);
  Ref<File> master = TRY(ptmx.inode().open(ptmx, O_RDWR | O_NOCTTY, ctx.creds));
  if (!dynamic_cast<PtyMaster*>(master.get())) return Err(ENODEV);
  auto terminal = Ref<RemoteTerminal>::adopt(
      new RemoteTerminal(std::move(poller), std::move(own), std::move(master)));
  terminal->resize(size);
  return terminal;
}

RemoteTerminal::RemoteTerminal(std::shared_ptr<HostPoller> poller, UniqueFd socket,
                               Ref<File> master)
    : poller_(std::move(poller)),
      socket_(std::move(socket)),
      master_(std::move(master)),
      tty_(Ref<Tty>::share(&static_cast<PtyMaster&>(*master_).tty())) {}

Result<Ref<File>> RemoteTerminal::open(Ref<const Creds> creds) const {
  auto& master = static_cast<PtyMaster&>(*master_);
  master.unlock();
  return master.open_program_side(O_RDWR, std::move(creds));
}

void RemoteTerminal::start() {
  bell_ = make_ref<Bell>(*this);
  queue_->queue.add(bell_, POLLIN | POLLOUT);
  tty_->device_queue().add(bell_, POLLIN | POLLOUT);
  poller_->run_soon(Ref<HostWork>::share(this));
}

void RemoteTerminal::carry_input() {
  std::array<std::byte, kChunk> buffer;
  while (socket_ && !finishing_) {
    const size_t room = std::min(tty_->receive_room(), buffer.size());
    if (room == 0) return;  // The device queue tells when there is some.
    const auto n = host::read_nowait(socket_.get(), std::span(buffer).first(room));
    if (failed_with(n, EAGAIN)) {
      (void)poller_->watch(socket_.get(), queue_, POLLIN);
      return;
    }
    if (!n || *n == 0) return close();
    if (before_input_) before_input_();
    if (!socket_) return;
    tty_->receive({reinterpret_cast<const uint8_t*>(buffer.data()), *n});
  }
}

bool RemoteTerminal::carry_output() {
  while (socket_) {
    if (unwritten_.empty()) {
      unwritten_.resize(kChunk);
      auto* bytes = reinterpret_cast<uint8_t*>(unwritten_.data());
      unwritten_.resize(tty_->fetch({bytes, unwritten_.size()}));
      if (unwritten_.empty()) return true;
    }
    const auto n = host::write_nowait(socket_.get(), unwritten_);
    if (failed_with(n, EAGAIN)) {
      (void)poller_->watch(socket_.get(), queue_, POLLOUT);
      return false;
    }
    if (!n) {
      close();
      return true;
    }
    unwritten_.erase(unwritten_.begin(), unwritten_.begin() + ptrdiff_t(*n));
  }
  return true;
}

void RemoteTerminal::run() {
  carry_input();
  if (carry_output() && finishing_) close();
}

void RemoteTerminal::finish() {
  finishing_ = true;
  tty_->hang_up(true);
  run();
}

void RemoteTerminal::close() {
  if (!socket_) return;
  if (bell_) {
    static_cast<Bell&>(*bell_).silence();
    tty_->device_queue().remove(bell_.get());
    queue_->queue.remove(bell_.get());
  }
  poller_->forget(socket_.get());
  poller_.reset();  // Which may hold us, as work that is still to be done.
  socket_.reset();
  unwritten_.clear();
  master_.reset();  // Hangs up.
}

}  // namespace usk
