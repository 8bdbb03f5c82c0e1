// A terminal: the line discipline between a device and the programs of a session.
#pragma once
#include "base/budget.h"
#include "base/lock.h"
#include "base/timer.h"
#include "base/wait.h"
#include "fs/tty/line_discipline.h"
#include "fs/vfs/file.h"
#include "fs/vfs/terminal.h"

namespace usk {

inline constexpr Dev kConsoleDev = 5 << 8 | 1;  // makedev(5, 1)

// Linux's tty_struct. The device side is the master of a pseudo-terminal (pty.h) or the pump of
// a host terminal: it calls receive() and fetch(). The program side are TtyFiles.
//
// Invariants: input waits in pending_ only while the discipline has no room for it; a terminal
// with a session has a foreground group of it or none.
class Tty final : public Terminal {
 public:
  static constexpr size_t kPendingSize = 8192;  // Linux: a pty's buffer.

  // ENOMEM when the kernel's memory budget is used up.
  static Result<Ref<Tty>> make(Dev dev, bool is_pty);

  Dev dev() const override { return dev_; }
  GroupId foreground() override EXCLUDES(mu_);
  void leader_exited(SessionId session) override EXCLUDES(mu_);

  // Device side.
  // Takes in what fits; 0 when nothing does.
  size_t receive(std::span<const uint8_t> bytes) EXCLUDES(mu_);
  size_t receive_room() EXCLUDES(mu_);
  size_t fetch(std::span<uint8_t> dst) EXCLUDES(mu_);
  size_t output_bytes() EXCLUDES(mu_);
  // Woken with POLLIN when there is output, with POLLOUT when there is room for input.
  WaitQueue& device_queue() { return device_queue_; }
  // vhangup(2), or the device is gone: open files are dead, the session loses its terminal.
  void hang_up(bool for_ever) EXCLUDES(mu_);
  void set_window(const winsize& size) EXCLUDES(mu_);
  winsize window() EXCLUDES(mu_);
  Termios attributes() EXCLUDES(mu_);
  void set_attributes(const Termios& t, bool flush_input) EXCLUDES(mu_);
  // Of a pseudo-terminal: no program has it open (though one had).
  bool peer_closed() EXCLUDES(mu_);
  // TIOCPKT: reports what happens to the program side. take_packet_status() clears.
  void set_packet_mode(bool on) EXCLUDES(mu_);
  uint8_t packet_status() EXCLUDES(mu_);
  uint8_t take_packet_status() EXCLUDES(mu_);
  // TIOCSIG
  void signal_foreground(int signal) EXCLUDES(mu_);

  // Program side. A file is open in one era of the terminal; a hang-up begins the next.
  Result<uint32_t> add_opener(const Creds& creds) EXCLUDES(mu_);
  void drop_opener() EXCLUDES(mu_);
  bool hung_up(uint32_t era) const { return era_.load() != era; }
  // When a read of VMIN and VTIME began to wait; INT64_MAX while none does.
  struct ReadWait {
    int64_t since = INT64_MAX;
    int64_t until = INT64_MAX;  // When to ask again at the latest.
    size_t bytes = 0;           // How many there were then.
    USK_FIELDS(since, until, bytes)
  };
  Result<size_t> read(IoOut& dst, bool nonblocking, ReadWait& wait) EXCLUDES(mu_);
  Result<size_t> write(IoIn& src) EXCLUDES(mu_);
  PollMask poll() EXCLUDES(mu_);
  WaitQueue& queue() { return queue_; }

  // ioctl_tty(2), as far as both sides have it.
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device) EXCLUDES(mu_);

  // Job control (tty_job.cc). Whether a background process may read (SIGTTIN), or write or
  // change the terminal (SIGTTOU).
  Result<File::IoVerdict> check_foreground(Caller& caller, int signal) EXCLUDES(mu_);
  bool stops_background_output() EXCLUDES(mu_);  // TOSTOP
  // open(2) without O_NOCTTY by a leader without a terminal.
  void adopt_leader(Caller& caller) EXCLUDES(mu_);

  // The files count themselves again.
  void add_loaded_opener() EXCLUDES(mu_);
  void set_loaded_master() { has_loaded_master_ = true; }
  USK_FIELDS(dev_, is_pty_, charge_, line_, pending_, window_, session_, foreground_, was_opened_,
             exclusive_, dead_, packet_mode_, packet_status_, era_)
  static constexpr int kRestoreStage = 1;  // After its files.
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  friend state::Access;
  explicit Tty(Blank) : dev_(0), is_pty_(false) {}
  Tty(Dev dev, bool is_pty) : dev_(dev), is_pty_(is_pty) {}

  void pump_locked(TtyEffects& fx) REQUIRES(mu_);
  // Notes what the device side is told; the rest is for act(), after the lock.
  GroupId settle_locked(TtyEffects& fx) REQUIRES(mu_);
  void act(const TtyEffects& fx, GroupId foreground);
  Result<size_t> read_raw_locked(IoOut& dst, bool nonblocking, ReadWait& wait) REQUIRES(mu_);

  Result<int64_t> ioctl_attributes(Caller& caller, uint32_t cmd, uint64_t arg);
  Result<int64_t> ioctl_flow(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device);
  Result<int64_t> ioctl_job(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device);
  Result<int64_t> ioctl_other(Caller& caller, uint32_t cmd, uint64_t arg, bool from_device);
  void flush(bool input, bool output) EXCLUDES(mu_);
  Result<void> control_flow(int action) EXCLUDES(mu_);
  Result<void> steal_input(Caller& caller, uint64_t arg) EXCLUDES(mu_);
  Result<void> become_controlling(Caller& caller, bool steal) EXCLUDES(mu_);
  Result<void> give_up(Caller& caller) EXCLUDES(mu_);
  Result<void> set_foreground(Caller& caller, int guest_group) EXCLUDES(mu_);

  Dev dev_;
  bool is_pty_;
  Charge charge_;
  Mutex<Rank::kFile> mu_;
  LineDiscipline line_ GUARDED_BY(mu_);
  std::deque<uint8_t> pending_ GUARDED_BY(mu_);
  winsize window_ GUARDED_BY(mu_){};
  SessionId session_ GUARDED_BY(mu_) = 0;
  GroupId foreground_ GUARDED_BY(mu_) = 0;
  int openers_ GUARDED_BY(mu_) = 0;
  bool was_opened_ GUARDED_BY(mu_) = false;
  bool exclusive_ GUARDED_BY(mu_) = false;
  bool dead_ GUARDED_BY(mu_) = false;  // The device is gone.
  bool packet_mode_ GUARDED_BY(mu_) = false;
  uint8_t packet_status_ GUARDED_BY(mu_) = 0;
  std::atomic<uint32_t> era_{1};
  bool has_loaded_master_ = false;
  WaitQueue queue_, device_queue_;
};

}  // namespace usk
