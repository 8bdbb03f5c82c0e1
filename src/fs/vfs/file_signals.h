// Signals that files send to their owners: O_ASYNC and F_NOTIFY (fcntl(2)).
#pragma once
#include <vector>

#include "base/failure.h"
#include "base/fields.h"
#include "base/wait.h"
#include "fs/vfs/notify.h"

namespace usk {

class File;

// Tells the owner of one file. What happens is only noted here, under whatever locks; whoever may
// send signals takes it up soon after (take_file_signals()).
class FileSignaller final : public Waiter {
 public:
  // `fd`: the descriptor by which it was asked for, which the signal names.
  FileSignaller(File& file, int fd) : file_(&file), fd_(fd) {}
  explicit FileSignaller(Blank) : file_(nullptr), fd_(-1) {}
  void notify(PollMask events) override EXCLUDES(mu_);
  int fd() const { return fd_; }
  // The file while it is open, else null.
  Ref<File> file() EXCLUDES(mu_);
  void file_gone() EXCLUDES(mu_);

  USK_FIELDS(file_, fd_, pending_)
  OrFailure<void> restored(state::Restored&);

 private:
  friend std::vector<std::pair<Ref<FileSignaller>, PollMask>> take_file_signals();
  void list_again();

  Mutex<Rank::kLeaf> mu_;
  File* file_ GUARDED_BY(mu_);
  int fd_;
  std::atomic<PollMask> pending_{0};  // What was not taken yet: it is in the list once.
};

// A changed directory, a lease that others wait for: among the events of poll(2), POLL_MSG.
constexpr PollMask kMessage = POLLMSG;

// The mark of F_NOTIFY: signals once, or each time.
class DirectoryMark final : public InodeMark {
 public:
  // `what`: DN_*.
  DirectoryMark(Ref<FileSignaller> signaller, uint32_t what);
  explicit DirectoryMark(Blank) : mask_(0), once_(false) {}
  uint32_t mask() const override { return mask_.load(std::memory_order_relaxed); }
  void on_event(uint32_t events, uint32_t cookie, std::string_view name) override;
  void on_inode_gone() override {}
  FileSignaller& signaller() { return *signaller_; }

  USK_FIELDS(signaller_, mask_, once_)
  OrFailure<void> restored(state::Restored&);

 private:
  Ref<FileSignaller> signaller_;
  std::atomic<uint32_t> mask_;
  bool once_;
};

bool file_signals_pending();
// What happened since the last call, in order; events of one signaller are merged.
std::vector<std::pair<Ref<FileSignaller>, PollMask>> take_file_signals();

}  // namespace usk
