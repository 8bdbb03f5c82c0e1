// The table of file descriptors of a process: open(2), dup(2), close(2), fcntl(2).
#pragma once
#include <cstdint>
#include <vector>

#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "fs/vfs/file.h"

namespace usk {

// Linux's struct files_struct. Shared by tasks made with CLONE_FILES. `limit` arguments are the
// caller's RLIMIT_NOFILE: the lowest number that may not be used.
class FdTable final : public RefCounted {
 public:
  struct Slot {
    Ref<File> file;
    bool cloexec = false;
    USK_FIELDS(file, cloexec)
  };

  FdTable() = default;
  explicit FdTable(Blank) : id_(0) {}

  // EBADF when the descriptor is not open.
  Result<Ref<File>> get(int fd) EXCLUDES(mu_);
  Result<Slot> get_slot(int fd) EXCLUDES(mu_);
  // Lowest free descriptor that is at least `from`; EMFILE at the limit, ENFILE (file_count.h).
  Result<int> add(Ref<File> file, bool cloexec, uint64_t limit, int from = 0) EXCLUDES(mu_);
  // dup2(2): puts `file` at exactly `fd`; returns what it displaced, for the caller to close.
  Result<Ref<File>> replace(int fd, Ref<File> file, bool cloexec, uint64_t limit) EXCLUDES(mu_);
  // Takes the file out for the caller to close (with flush and the drop of POSIX locks).
  Result<Ref<File>> remove(int fd) EXCLUDES(mu_);
  Result<void> set_cloexec(int fd, bool cloexec) EXCLUDES(mu_);
  // The open descriptors in [first, last], in order: close_range(2), /proc/PID/fd.
  std::vector<int> open_fds(int first = 0, int last = INT32_MAX) EXCLUDES(mu_);
  // Takes out all close-on-exec files (execve) or all files (exit).
  std::vector<Ref<File>> remove_cloexec() EXCLUDES(mu_);
  std::vector<Ref<File>> remove_all() EXCLUDES(mu_);
  Ref<FdTable> clone() EXCLUDES(mu_);
  // Highest slot count ever used, rounded as Linux does (FDSize of /proc/PID/status).
  size_t size() EXCLUDES(mu_);

  // Unique among all tables: the owner of POSIX record locks (locks.h).
  uint64_t id() const { return id_; }

  USK_FIELDS(id_, slots_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  static uint64_t next_id();

  uint64_t id_ = next_id();
  Mutex<Rank::kFdTable> mu_;
  std::vector<Slot> slots_ GUARDED_BY(mu_);
  size_t lowest_free_ GUARDED_BY(mu_) = 0;  // No slot below it is free. Derived.
};

}  // namespace usk
