// An open terminal: tty(4), and the program's side of pty(7).
#pragma once
#include "fs/tty/tty.h"

namespace usk {

class TtyFile final : public File {
 public:
  // EIO: it is dead; EBUSY: TIOCEXCL.
  static Result<Ref<File>> open(Ref<Tty> tty, Path path, int flags, Ref<const Creds> creds);
  ~TtyFile() override;

  Tty& tty() const { return *tty_; }

  // A leader without a terminal gets this one as its own, unless O_NOCTTY.
  Result<Ref<File>> finish_open(Caller& caller, int flags) override;
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t, int) override { return Err(ESPIPE); }
  PollMask poll() override;
  WaitQueue& queue() override { return tty_->queue(); }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  Result<IoVerdict> before_io(Caller& caller, bool write) override;
  Result<IoVerdict> before_ioctl(Caller& caller, uint32_t cmd) override;
  void wait_ended() override;
  Result<void> truncate(uint64_t) override { return Err(EINVAL); }

  USK_FIELDS_OF(File, tty_, era_, wait_)
  OrFailure<void> restored(state::Restored& r) EXCLUDES(wait_mu_);

 private:
  friend state::Access;
  class Alarm;
  explicit TtyFile(Blank b) : File(b), era_(0) {}
  TtyFile(Ref<Tty> tty, uint32_t era, Path path, int flags, Ref<const Creds> creds);
  bool hung_up() const { return tty_->hung_up(era_); }

  Ref<Tty> tty_;
  uint32_t era_;
  Mutex<Rank::kLeaf> wait_mu_;
  Tty::ReadWait wait_ GUARDED_BY(wait_mu_);
  Ref<TimerClient> alarm_;
};

// /dev/tty: stands for the terminal of whoever opens it (finish_open). ENXIO without one.
Result<Ref<File>> open_own_tty(Inode& inode, Path path, int flags, Ref<const Creds> creds);

}  // namespace usk
