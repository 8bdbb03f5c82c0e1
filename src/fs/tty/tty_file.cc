#include "fs/tty/tty_file.h"

#include <signal.h>

#include "fs/vfs/saving.h"

namespace usk {

// Wakes a reader whose VTIME has passed.
class TtyFile::Alarm final : public TimerClient {
 public:
  explicit Alarm(Ref<Tty> tty) : tty_(std::move(tty)) {}
  void expired() override { tty_->queue().wake(POLLIN | POLLRDNORM); }

 private:
  Ref<Tty> tty_;
};

USK_SAVED(TtyFile, "fs/tty/file")

OrFailure<void> TtyFile::restored(state::Restored& r) {
  if (!tty_) return fail("no terminal");
  TRY(File::restored(r));
  tty_->add_loaded_opener();
  alarm_ = make_ref<Alarm>(tty_);
  Lock lock(wait_mu_);
  if (wait_.until != INT64_MAX) timer_service().arm(alarm_, CLOCK_MONOTONIC, wait_.until);
  return {};
}

Result<Ref<File>> TtyFile::open(Ref<Tty> tty, Path path, int flags, Ref<const Creds> creds) {
  const uint32_t era = TRY(tty->add_opener(*creds));
  return Ref<File>::adopt(
      new TtyFile(std::move(tty), era, std::move(path), flags, std::move(creds)));
}

TtyFile::TtyFile(Ref<Tty> tty, uint32_t era, Path path, int flags, Ref<const Creds> creds)
    : File(std::move(path), flags, kCanPoll, std::move(creds)),
      tty_(std::move(tty)),
      era_(era),
      alarm_(make_ref<Alarm>(tty_)) {}

TtyFile::~TtyFile() {
  wait_ended();
  tty_->drop_opener();
}

Result<Ref<File>> TtyFile::finish_open(Caller& caller, int flags) {
  if (!(flags & O_NOCTTY) && can(kRead)) tty_->adopt_leader(caller);
  return Ref<File>::share(this);
}

Result<size_t> TtyFile::read(IoOut& dst, uint64_t&) {
  if (hung_up()) return 0;
  Tty::ReadWait wait;
  {
    Lock lock(wait_mu_);
    wait = wait_;
  }
  const bool waited = wait.until != INT64_MAX;
  auto n = tty_->read(dst, nonblocking(), wait);
  if (!n && wait.until != INT64_MAX) {
    timer_service().arm(alarm_, CLOCK_MONOTONIC, wait.until);
  } else if (n && waited) {
    timer_service().disarm(*alarm_);
  }
  Lock lock(wait_mu_);
  wait_ = wait;
  return n;
}

void TtyFile::wait_ended() {
  {
    Lock lock(wait_mu_);
    if (wait_.until == INT64_MAX) return;
    wait_ = {};
  }
  timer_service().disarm(*alarm_);
}

Result<size_t> TtyFile::write(IoIn& src, uint64_t&) {
  if (hung_up()) return Err(EIO);
  return tty_->write(src);
}

PollMask TtyFile::poll() {
  if (hung_up()) return POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM;
  return tty_->poll();
}

Result<int64_t> TtyFile::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  if (hung_up()) return Err(cmd == TIOCSPGRP ? ENOTTY : EIO);
  return tty_->ioctl(caller, cmd, arg, false);
}

Result<File::IoVerdict> TtyFile::before_io(Caller& caller, bool write) {
  if (hung_up()) return IoVerdict::kGo;
  if (!write) return tty_->check_foreground(caller, SIGTTIN);
  if (!tty_->stops_background_output()) return IoVerdict::kGo;
  return tty_->check_foreground(caller, SIGTTOU);
}

Result<File::IoVerdict> TtyFile::before_ioctl(Caller& caller, uint32_t cmd) {
  if (hung_up()) return IoVerdict::kGo;
  switch (cmd) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
    case TCFLSH:
    case TCXONC:
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
    case TIOCCBRK:
    case TIOCSETD: return tty_->check_foreground(caller, SIGTTOU);
    case TIOCSPGRP: {
      auto verdict = tty_->check_foreground(caller, SIGTTOU);
      if (failed_with(verdict, EIO)) return Err(ENOTTY);
      return verdict;
    }
    default: return IoVerdict::kGo;
  }
}

namespace {

class OwnTty final : public File {
 public:
  OwnTty(Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kCanPoll, std::move(creds)) {}
  explicit OwnTty(Blank b) : File(b) {}
  USK_FIELDS_OF(File)
  Result<Ref<File>> finish_open(Caller& caller, int open_flags) override {
    auto tty = ref_cast<Tty>(caller.controlling_terminal());
    if (!tty) return Err(ENXIO);
    return TtyFile::open(std::move(tty), path(), open_flags,
                         Ref<const Creds>::share(&caller.creds()));
  }
};

}  // namespace

USK_SAVED(OwnTty, "fs/tty/own-tty")

Result<Ref<File>> open_own_tty(Inode&, Path path, int flags, Ref<const Creds> creds) {
  return make_ref<OwnTty>(std::move(path), flags, std::move(creds));
}

}  // namespace usk
