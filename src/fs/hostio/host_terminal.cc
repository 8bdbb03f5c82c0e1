#include "fs/hostio/host_terminal.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "host/epoll.h"
#include "host/file_io.h"
#include "host/open.h"
#include "host/poll.h"
#include "host/stream.h"

namespace usk {
namespace {

constexpr size_t kChunk = 4096;
// What a terminal that says it is writable takes without waiting, if its description is shared
// and may wait.
constexpr size_t kSharedChunk = 64;
constexpr int64_t kStopNs = 1'000'000'000;

Termios from_host(const struct termios2& t) {
  Termios out;
  out.iflag = t.c_iflag;
  out.oflag = t.c_oflag;
  out.cflag = t.c_cflag;
  out.lflag = t.c_lflag;
  std::copy_n(t.c_cc, out.cc.size(), out.cc.begin());
  out.ispeed = t.c_ispeed;
  out.ospeed = t.c_ospeed;
  return out;
}

// For a host terminal that makes CR NL of NL itself.
void drop_added_returns(std::vector<std::byte>& bytes) {
  constexpr std::byte kReturn{'\r'}, kNewline{'\n'};
  size_t to = 0;
  for (size_t i = 0; i < bytes.size(); i++) {
    if (bytes[i] == kReturn && i + 1 < bytes.size() && bytes[i + 1] == kNewline) continue;
    bytes[to++] = bytes[i];
  }
  bytes.resize(to);
}

}  // namespace

// Asks for a run() when either side has something.
class HostTerminal::Bell final : public Waiter {
 public:
  explicit Bell(HostTerminal& terminal) : terminal_(&terminal) {}
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
  HostTerminal* terminal_ GUARDED_BY(mu_);
};

Result<Ref<HostTerminal>> HostTerminal::find(std::shared_ptr<HostPoller> poller, Dev dev) {
  for (int fd = 0; fd < 3; fd++) {
    auto saved = host::terminal_attributes(fd);
    if (!saved) continue;
    const struct stat st = TRY(host::stat_of(fd));
    // Only a description of our own may be told not to wait.
    auto own = host::reopen(fd, O_RDWR | O_NONBLOCK);
    if (!own) own = host::take_stream(fd);
    if (!own) return Err(own.error());
    Ref<Tty> tty = TRY(Tty::make(dev, true));
    tty->set_attributes(from_host(*saved), false);
    if (auto size = host::terminal_size(fd)) tty->set_window(*size);
    auto terminal = Ref<HostTerminal>::adopt(new HostTerminal(
        std::move(poller), std::move(tty), std::move(*own), st.st_rdev, fd == 0, *saved));
    // Now: a process that is confined makes no other.
    if (fd == 0)
      terminal->guard_.emplace(TRY(host::TerminalGuard::make(terminal->fd_.get(), *saved)));
    return terminal;
  }
  return Ref<HostTerminal>();
}

HostTerminal::HostTerminal(std::shared_ptr<HostPoller> poller, Ref<Tty> tty, UniqueFd fd,
                           dev_t host_dev, bool has_input, const struct termios2& saved)
    : poller_(std::move(poller)),
      tty_(std::move(tty)),
      fd_(std::move(fd)),
      host_dev_(host_dev),
      has_input_(has_input),
      saved_(saved) {}

void HostTerminal::serve(Ref<Tty> tty) {
  tty_ = std::move(tty);
  follow_size();
}

bool HostTerminal::is(int fd) const {
  if (!host::terminal_attributes(fd)) return false;
  auto st = host::stat_of(fd);
  return st && st->st_rdev == host_dev_;
}

Result<void> HostTerminal::start() {
  // SIGTTOU: changing the settings from the background must not stop the sandbox.
  signals_ = TRY(host::signal_fd({SIGWINCH, SIGCONT, SIGTTOU}));
  bell_ = make_ref<Bell>(*this);
  queue_->queue.add(bell_, POLLIN | POLLOUT);
  tty_->device_queue().add(bell_, POLLIN | POLLOUT);
  TRY(poller_->watch(signals_.get(), queue_, POLLIN));
  if (has_input_ && host::in_foreground(fd_.get())) TRY(take_over());
  poller_->run_soon(Ref<HostWork>::share(this));
  return {};
}

Result<void> HostTerminal::go_raw() {
  guard_->arm();
  TRY(host::set_terminal_attributes(fd_.get(), host::raw_attributes(saved_)));
  reading_ = true;
  return {};
}

// Whole lines that were typed before are read while the host still knows them as lines: in raw mode
// an end of file among them would be a zero byte. The host has echoed them already.
Result<void> HostTerminal::take_over() {
  const Termios given = tty_->attributes();
  Termios silent = given;
  silent.lflag &= ~(ECHO | ECHONL);
  tty_->set_attributes(silent, false);
  const bool lines = given.l(ICANON) && may_not_wait();
  std::array<std::byte, kChunk> buffer;
  while (lines && tty_->receive_room() >= buffer.size() &&
         host::poll_now(fd_.get(), POLLIN) == POLLIN) {
    const auto n = host::read(fd_.get(), buffer);
    if (!n) break;
    if (*n == 0) buffer[0] = std::byte{given.cc[VEOF]};
    tty_->receive({reinterpret_cast<const uint8_t*>(buffer.data()), std::max<size_t>(*n, 1)});
  }
  const auto raw = go_raw();
  if (raw) carry_input();
  tty_->set_attributes(given, false);
  return raw;
}

bool HostTerminal::may_not_wait() const {
  return host::status_flags(fd_.get()).value_or(0) & O_NONBLOCK;
}

void HostTerminal::follow_size() {
  if (auto size = host::terminal_size(fd_.get())) tty_->set_window(*size);
}

// The host sends SIGWINCH before the new size can be read at the slave's end of a pseudo-terminal.
class HostTerminal::LateLook final : public TimerClient {
 public:
  explicit LateLook(HostTerminal& terminal) : terminal_(Ref<HostTerminal>::share(&terminal)) {}
  void expired() override { terminal_->follow_size(); }

 private:
  Ref<HostTerminal> terminal_;
};

void HostTerminal::heed_signals() {
  constexpr int64_t kMoment = 5'000'000;  // 5 ms
  while (const int signal = host::take_signal(signals_.get())) {
    follow_size();
    if (signal == SIGWINCH) {
      if (!late_look_) late_look_ = make_ref<LateLook>(*this);
      const int64_t now = timer_service().now(CLOCK_MONOTONIC);
      timer_service().arm(late_look_, CLOCK_MONOTONIC, now + kMoment);
    }
    // Whoever stopped us has used the terminal meanwhile; now it may be ours again.
    if (signal != SIGCONT || !has_input_ || !host::in_foreground(fd_.get())) continue;
    if (auto raw = go_raw(); !raw) LOG_INFO("the terminal cannot be set to raw mode");
  }
  (void)poller_->watch(signals_.get(), queue_, POLLIN);
}

void HostTerminal::carry_input() {
  std::array<std::byte, kChunk> buffer;
  while (reading_) {
    const size_t room = std::min(tty_->receive_room(), buffer.size());
    if (room == 0) return;  // The device queue tells when there is some.
    const bool ready = host::poll_now(fd_.get(), POLLIN);
    const auto n = ready ? host::read(fd_.get(), std::span(buffer).first(room)) : Err(EAGAIN);
    if (failed_with(n, EAGAIN)) {
      (void)poller_->watch(fd_.get(), queue_, POLLIN);
      return;
    }
    if (!n || *n == 0) {
      reading_ = false;
      tty_->hang_up(true);
      return;
    }
    follow_size();  // Whoever typed it has seen the new size, whose signal may be on its way.
    tty_->receive({reinterpret_cast<const uint8_t*>(buffer.data()), *n});
  }
}

bool HostTerminal::fetch_output() {
  if (!unwritten_.empty()) return true;
  if (left_) return false;
  unwritten_.resize(kChunk);
  auto* bytes = reinterpret_cast<uint8_t*>(unwritten_.data());
  unwritten_.resize(tty_->fetch({bytes, unwritten_.size()}));
  if (unwritten_.empty()) return false;
  if (reading_) return true;
  auto host = host::terminal_attributes(fd_.get());
  if (host && (host->c_oflag & OPOST) && (host->c_oflag & ONLCR)) drop_added_returns(unwritten_);
  return true;
}

bool HostTerminal::carry_output() {
  while (fetch_output()) {
    const bool ready = host::poll_now(fd_.get(), POLLOUT) & POLLOUT;
    auto some = std::span<const std::byte>(unwritten_);
    if (!may_not_wait()) some = some.first(std::min(some.size(), kSharedChunk));
    const auto n = ready ? host::write(fd_.get(), some) : Err(EAGAIN);
    if (failed_with(n, EAGAIN)) {
      (void)poller_->watch(fd_.get(), queue_, POLLOUT);
      return false;
    }
    // A terminal that is gone takes everything.
    const size_t written = n ? *n : unwritten_.size();
    unwritten_.erase(unwritten_.begin(), unwritten_.begin() + ptrdiff_t(written));
  }
  return true;
}

void HostTerminal::run() {
  if (!poller_) return;  // Stopped since it was asked for.
  heed_signals();
  carry_input();
  carry_output();
}

void HostTerminal::leave() {
  left_ = true;
  stop();
}

void HostTerminal::stop() {
  if (!poller_) return;
  if (late_look_) timer_service().disarm(*late_look_);
  late_look_.reset();
  const int64_t give_up = host::monotonic_now() + kStopNs;
  while (!carry_output() && host::monotonic_now() < give_up) {
    host::wait_for_child_or_fd(poller_->fd(), give_up);
    poller_->dispatch();
  }
  if (bell_) {
    static_cast<Bell&>(*bell_).silence();
    tty_->device_queue().remove(bell_.get());
    queue_->queue.remove(bell_.get());
    bell_.reset();
  }
  poller_->forget(fd_.get());
  if (signals_) poller_->forget(signals_.get());
  poller_.reset();  // Which may hold us, as work that is still to be done.
  reading_ = false;
  guard_.reset();
}

}  // namespace usk
