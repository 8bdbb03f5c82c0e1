#include "fs/tty/pty.h"

#include <fmt/format.h>
#include <signal.h>

#include <array>

#include "fs/tty/devpts.h"
#include "fs/tty/tty_file.h"
#include "fs/vfs/saving.h"

namespace usk {
namespace {

// Linux: a read of a master gives at most this.
constexpr size_t kMostPerRead = LineDiscipline::kInputSize - 1;

}  // namespace

PtyMaster::PtyMaster(Ref<Tty> tty, Ref<DevPts> fs, uint32_t index, Ref<Mount> mount, Path path,
                     int flags, Ref<const Creds> creds)
    : File(std::move(path), flags, kCanPoll, std::move(creds)),
      tty_(std::move(tty)),
      fs_(std::move(fs)),
      index_(index),
      mount_(std::move(mount)) {}

USK_SAVED(PtyMaster, "fs/tty/master")

PtyMaster::PtyMaster(Blank b) : File(b), index_(0) {}

OrFailure<void> PtyMaster::restored(state::Restored& r) {
  if (!tty_ || !fs_ || !mount_) return fail("no terminal");
  TRY(File::restored(r));
  if (!fs_->claim(index_, *tty_)) return fail("a terminal of no name, or of two masters");
  tty_->set_loaded_master();
  return {};
}

PtyMaster::~PtyMaster() {
  fs_->remove(index_);
  tty_->hang_up(true);
}

Result<size_t> PtyMaster::read(IoOut& dst, uint64_t&) {
  if (dst.size() == 0) return 0;
  if (!packet_mode_) return read_data(dst, false);
  if (const uint8_t status = tty_->take_packet_status()) return TRY(dst.put_object(status));
  return read_data(dst, true);
}

Result<size_t> PtyMaster::read_data(IoOut& dst, bool with_header) {
  std::array<uint8_t, 1 + kMostPerRead> bytes{TIOCPKT_DATA};
  const size_t header = with_header ? 1 : 0;
  const size_t want = std::min(dst.size() - header, kMostPerRead);
  const size_t n = tty_->fetch(std::span(bytes).subspan(1, want));
  if (n == 0 && want > 0) {
    if (tty_->peer_closed()) return Err(EIO);
    return Err(EAGAIN);
  }
  // Linux: what cannot be copied out is lost.
  return dst.put(std::as_bytes(std::span(bytes).subspan(1 - header, header + n)));
}

Result<size_t> PtyMaster::write(IoIn& src, uint64_t&) {
  size_t done = 0;
  std::array<uint8_t, 1024> bytes;
  while (src.size() > 0) {
    // Only this file adds input, but perhaps from several threads: what another took the room
    // of is offered again.
    const size_t want = std::min({src.size(), tty_->receive_room(), bytes.size()});
    if (want == 0) break;
    auto n = src.take(std::as_writable_bytes(std::span(bytes).first(want)));
    if (!n && done == 0) return Err(n.error());
    if (!n) break;
    const size_t taken = tty_->receive(std::span(bytes).first(*n));
    done += taken;
    if (taken < want) break;
  }
  if (done == 0 && src.size() > 0) return Err(EAGAIN);
  return done;
}

PollMask PtyMaster::poll() {
  PollMask mask = 0;
  if (tty_->packet_status()) mask |= POLLPRI | POLLIN | POLLRDNORM;
  if (tty_->output_bytes() > 0) mask |= POLLIN | POLLRDNORM;
  if (tty_->peer_closed()) mask |= POLLHUP;
  if (tty_->receive_room() > 0) mask |= POLLOUT | POLLWRNORM;
  return mask;
}

Result<int64_t> PtyMaster::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  auto own = ioctl_own(caller, cmd, arg);
  if (!failed_with(own, ENOTTY)) return own;
  return tty_->ioctl(caller, cmd, arg, true);
}

Result<int64_t> PtyMaster::ioctl_own(Caller& caller, uint32_t cmd, uint64_t arg) {
  switch (cmd) {
    case TIOCGPTN: TRY(caller.put(arg, index_)); return 0;
    case TIOCSPTLCK: fs_->set_locked(index_, TRY(caller.get<int>(arg))); return 0;
    case TIOCGPTLCK: TRY(caller.put(arg, int(fs_->is_locked(index_)))); return 0;
    case TIOCPKT:
      packet_mode_ = TRY(caller.get<int>(arg)) != 0;
      tty_->set_packet_mode(packet_mode_);
      return 0;
    case TIOCGPKT: TRY(caller.put(arg, int(packet_mode_.load()))); return 0;
    case TIOCSIG:
      if (arg != SIGINT && arg != SIGQUIT && arg != SIGTSTP) return Err(EINVAL);
      tty_->signal_foreground(int(arg));
      return 0;
    case TIOCGPTPEER: return open_peer(caller, int(arg));
    default: return Err(ENOTTY);
  }
}

void PtyMaster::unlock() { fs_->set_locked(index_, false); }

Result<Ref<File>> PtyMaster::open_program_side(int flags, Ref<const Creds> creds) {
  Ref<Dentry> name = TRY(mount_->root()->lookup(std::to_string(index_)));
  if (name->is_negative()) return Err(EIO);
  const Path path(mount_, name);
  return path.inode().open(path, flags, std::move(creds));
}

Result<int64_t> PtyMaster::open_peer(Caller& caller, int flags) {
  Ref<File> file = TRY(open_program_side(flags, Ref<const Creds>::share(&caller.creds())));
  file = TRY(file->finish_open(caller, flags));
  return TRY(caller.add_fd(std::move(file), flags & O_CLOEXEC));
}

std::string PtyMaster::fdinfo() const { return fmt::format("tty-index:\t{}\n", index_); }

}  // namespace usk
