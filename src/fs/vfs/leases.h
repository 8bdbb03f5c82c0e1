// Leases: a holder is told before others open its file (fcntl(2), F_SETLEASE).
#pragma once
#include <vector>

#include "base/fields.h"
#include "base/lock.h"
#include "base/result.h"
#include "base/wait.h"
#include "fs/vfs/file_signals.h"

namespace usk {

// The leases on one inode; Inode::locks().leases. Each belongs to an open file.
class Leases {
 public:
  // F_RDLCK or F_WRLCK, or F_UNLCK to give it up. EAGAIN: another's lease is in the way, it is
  // being broken to less, or there was none to give up. Whether the file may have it (who else has
  // it open) is the caller's business.
  Result<void> set(uint64_t file_id, int type, Ref<FileSignaller> holder) EXCLUDES(mu_);
  // What the file has, or is to have when its breaking is over.
  int of(uint64_t file_id) EXCLUDES(mu_);
  void drop_file(uint64_t file_id) EXCLUDES(mu_);
  // Before the inode is opened. EAGAIN: holders were told, and queue() says when to ask again;
  // `force`: they had their time, and what is in the way goes.
  Result<void> check_open(bool writes, bool force) EXCLUDES(mu_);

  // Of all inodes: woken when a lease goes or becomes less.
  static WaitQueue& queue();
  // Whether there is any at all.
  static bool any();

  bool empty() EXCLUDES(mu_);

  USK_FIELDS(leases_)
  // They count among any().
  void count_loaded() EXCLUDES(mu_);

 private:
  struct Lease {
    uint64_t file_id;
    int type;
    int target;  // The type it is to have; less than `type` while it is being broken.
    Ref<FileSignaller> holder;
    USK_FIELDS(file_id, type, target, holder)
  };
  Mutex<Rank::kLeaf> mu_;
  std::vector<Lease> leases_ GUARDED_BY(mu_);
};

}  // namespace usk
