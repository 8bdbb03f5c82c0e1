#include "fs/tty/tty.h"

#include <linux/capability.h>
#include <signal.h>

#include <array>

#include "fs/vfs/saving.h"

namespace usk {
namespace {

// What a terminal may hold at most: input twice, output, echo.
constexpr size_t kMemory = 64 << 10;
constexpr int64_t kTenthOfSecond = kNsPerSecond / 10;

}  // namespace

USK_SAVED(Tty, "fs/tty/tty")

OrFailure<void> Tty::restored(state::Restored&) {
  {
    Lock lock(mu_);
    if (!line_.is_valid() || pending_.size() > kPendingSize) return fail("input that cannot be");
  }
  // Somebody outside had the master (usk exec -t), who is not there any more.
  if (dev_ != kConsoleDev && !has_loaded_master_) hang_up(true);
  return {};
}

void Tty::add_loaded_opener() {
  Lock lock(mu_);
  openers_++;
}

Result<Ref<Tty>> Tty::make(Dev dev, bool is_pty) {
  Charge charge;
  if (!charge.set(kMemory)) return Err(ENOMEM);
  auto tty = Ref<Tty>::adopt(new Tty(dev, is_pty));
  tty->charge_ = std::move(charge);
  return tty;
}

// Gives pending input to the discipline as far as it has room.
void Tty::pump_locked(TtyEffects& fx) {
  std::array<uint8_t, 512> chunk;
  while (!pending_.empty()) {
    const size_t n = std::min(pending_.size(), chunk.size());
    std::copy_n(pending_.begin(), n, chunk.begin());
    const size_t taken = line_.receive(std::span(chunk).first(n), fx);
    pending_.erase(pending_.begin(), pending_.begin() + taken);
    if (taken < n) break;
  }
}

GroupId Tty::settle_locked(TtyEffects& fx) {
  if (!packet_mode_) fx.packet = 0;
  if (fx.packet & TIOCPKT_STOP) packet_status_ &= ~TIOCPKT_START;
  if (fx.packet & TIOCPKT_START) packet_status_ &= ~TIOCPKT_STOP;
  if (fx.packet & (TIOCPKT_NOSTOP | TIOCPKT_DOSTOP)) {
    packet_status_ &= ~(TIOCPKT_NOSTOP | TIOCPKT_DOSTOP);
  }
  packet_status_ |= fx.packet;
  return foreground_;
}

void Tty::act(const TtyEffects& fx, GroupId foreground) {
  for (int signal = 1; foreground && signal < 64; ++signal) {
    if (fx.signals >> signal & 1) job_control().signal_group(foreground, signal);
  }
  PollMask programs = 0;
  if (fx.readable) programs |= POLLIN | POLLRDNORM;
  if (fx.writable) programs |= POLLOUT | POLLWRNORM;
  if (programs) queue_.wake(programs);
  PollMask device = 0;
  if (fx.output) device |= POLLIN | POLLRDNORM;
  if (fx.packet) device |= POLLPRI | POLLIN | POLLRDNORM;
  if (device) device_queue_.wake(device);
}

size_t Tty::receive_room() {
  Lock lock(mu_);
  return kPendingSize - pending_.size();
}

size_t Tty::receive(std::span<const uint8_t> bytes) {
  TtyEffects fx;
  GroupId foreground;
  size_t n;
  {
    Lock lock(mu_);
    n = std::min(bytes.size(), kPendingSize - pending_.size());
    pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + n);
    pump_locked(fx);
    foreground = settle_locked(fx);
  }
  act(fx, foreground);
  return n;
}

size_t Tty::fetch(std::span<uint8_t> dst) {
  TtyEffects fx;
  size_t n;
  {
    Lock lock(mu_);
    n = line_.fetch(dst, fx);
  }
  act(fx, 0);
  return n;
}

size_t Tty::output_bytes() {
  Lock lock(mu_);
  return line_.output_bytes();
}

Result<uint32_t> Tty::add_opener(const Creds& creds) {
  Lock lock(mu_);
  if (dead_) return Err(EIO);
  if (exclusive_ && !creds.capable_in_root(CAP_SYS_ADMIN)) return Err(EBUSY);
  ++openers_;
  was_opened_ = true;
  return era_.load();
}

void Tty::drop_opener() {
  {
    Lock lock(mu_);
    if (--openers_ > 0) return;
    exclusive_ = false;
  }
  device_queue_.wake(POLLHUP | POLLIN);
}

bool Tty::peer_closed() {
  Lock lock(mu_);
  return is_pty_ && was_opened_ && openers_ == 0;
}

Result<size_t> Tty::read(IoOut& dst, bool nonblocking, ReadWait& wait) {
  if (dst.size() == 0) return 0;
  TtyEffects fx;
  GroupId foreground;
  Result<size_t> n;
  bool room;
  {
    Lock lock(mu_);
    const Termios& t = line_.termios();
    const size_t before = pending_.size();
    if (t.l(ICANON) && !t.l(EXTPROC)) {
      if (!line_.input_available(1)) return Err(EAGAIN);
      n = line_.read(dst);
    } else {
      n = read_raw_locked(dst, nonblocking, wait);
    }
    if (n) pump_locked(fx);
    foreground = settle_locked(fx);
    room = pending_.size() < before;
  }
  if (n) wait = {};
  if (room) device_queue_.wake(POLLOUT | POLLWRNORM);
  act(fx, foreground);
  return n;
}

// termios(3), the four cases of VMIN and VTIME.
Result<size_t> Tty::read_raw_locked(IoOut& dst, bool nonblocking, ReadWait& wait) {
  const Termios& t = line_.termios();
  const size_t min = t.cc[VMIN];
  const int64_t time = t.cc[VTIME] * kTenthOfSecond;
  const size_t have = line_.input_bytes();
  if (have >= std::min(std::max<size_t>(min, 1), dst.size())) return line_.read(dst);
  if (nonblocking) {
    if (have > 0) return line_.read(dst);
    if (min == 0 && time == 0) return 0;
    return Err(EAGAIN);
  }
  if (time == 0) {
    if (min == 0) return 0;
    return Err(EAGAIN);
  }
  // With VMIN the time runs from byte to byte, and so not before the first.
  if (min > 0 && have == 0) return Err(EAGAIN);
  const int64_t now = timer_service().now(CLOCK_MONOTONIC);
  if (wait.since == INT64_MAX || have != wait.bytes) {
    wait = {.since = now, .until = now + time, .bytes = have};
  }
  if (now < wait.until) return Err(EAGAIN);
  if (have == 0) return 0;
  return line_.read(dst);
}

Result<size_t> Tty::write(IoIn& src) {
  TtyEffects fx;
  GroupId foreground;
  Result<size_t> n;
  {
    Lock lock(mu_);
    if (dead_) return Err(EIO);
    n = line_.write(src, fx);
    foreground = settle_locked(fx);
  }
  act(fx, foreground);
  return n;
}

PollMask Tty::poll() {
  Lock lock(mu_);
  const Termios& t = line_.termios();
  const size_t amount = t.cc[VTIME] == 0 ? std::max<size_t>(t.cc[VMIN], 1) : 1;
  PollMask mask = 0;
  if (line_.input_available(amount)) mask |= POLLIN | POLLRDNORM;
  if (line_.can_write()) mask |= POLLOUT | POLLWRNORM;
  return mask;
}

void Tty::set_packet_mode(bool on) {
  Lock lock(mu_);
  if (on && !packet_mode_) packet_status_ = 0;
  packet_mode_ = on;
}

uint8_t Tty::packet_status() {
  Lock lock(mu_);
  return packet_mode_ ? packet_status_ : 0;
}

uint8_t Tty::take_packet_status() {
  Lock lock(mu_);
  return packet_mode_ ? std::exchange(packet_status_, 0) : 0;
}

}  // namespace usk
