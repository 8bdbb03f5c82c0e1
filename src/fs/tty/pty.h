// The master of a pseudo-terminal: pty(7), ioctl_tty(2).
#pragma once
#include "fs/tty/tty.h"
#include "fs/vfs/file.h"

namespace usk {

class DevPts;

// What /dev/ptmx gives: the device side of a Tty. When it goes, the terminal is hung up and its
// name leaves /dev/pts.
class PtyMaster final : public File {
 public:
  // `mount` is where the instance is seen, for TIOCGPTPEER.
  PtyMaster(Ref<Tty> tty, Ref<DevPts> fs, uint32_t index, Ref<Mount> mount, Path path, int flags,
            Ref<const Creds> creds);
  explicit PtyMaster(Blank b);
  ~PtyMaster() override;

  Tty& tty() const { return *tty_; }
  uint32_t index() const { return index_; }
  void unlock();  // unlockpt(3)
  // The program's side (TIOCGPTPEER), wherever its name may be.
  Result<Ref<File>> open_program_side(int flags, Ref<const Creds> creds);

  // What programs wrote. EIO when all of them have closed the terminal.
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t, int) override { return Err(ESPIPE); }
  PollMask poll() override;
  WaitQueue& queue() override { return tty_->device_queue(); }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  std::string fdinfo() const override;
  Result<void> truncate(uint64_t) override { return Err(EINVAL); }

  USK_FIELDS_OF(File, tty_, fs_, index_, mount_, packet_mode_)
  OrFailure<void> restored(state::Restored& r);

 private:
  Result<size_t> read_data(IoOut& dst, bool with_header);
  Result<int64_t> ioctl_own(Caller& caller, uint32_t cmd, uint64_t arg);
  Result<int64_t> open_peer(Caller& caller, int flags);

  Ref<Tty> tty_;
  Ref<DevPts> fs_;
  uint32_t index_;
  Ref<Mount> mount_;
  std::atomic<bool> packet_mode_{false};
};

}  // namespace usk
