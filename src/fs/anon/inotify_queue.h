// The events of an inotify file, and its watches; what inodes tell.
#pragma once
#include <sys/inotify.h>

#include <deque>
#include <map>
#include <string>

#include "base/budget.h"
#include "base/fields.h"
#include "base/lock.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/notify.h"

namespace usk {

class InotifyWatch;

struct InotifyEvent {
  int wd = 0;
  uint32_t mask = 0;
  uint32_t cookie = 0;
  std::string name;

  // As read(2) gives it: the name is filled up with zeros to a whole number of headers.
  size_t size() const;
  std::string bytes() const;
  USK_FIELDS(wd, mask, cookie, name)
};

// Lives on while an inode is telling something.
class InotifyQueue final : public RefCounted {
 public:
  // An event; merged with the last one when they are alike. Beyond the limit one IN_Q_OVERFLOW.
  void push(InotifyEvent event) EXCLUDES(mu_);
  // The next event if it takes at most `room` bytes: EAGAIN, EINVAL.
  Result<InotifyEvent> take(size_t room) EXCLUDES(mu_);
  size_t readable_bytes() EXCLUDES(mu_);
  bool empty() EXCLUDES(mu_);
  WaitQueue& queue() { return queue_; }

  Result<int> add(Ref<Inode> inode, uint32_t mask) EXCLUDES(mu_);
  Result<void> remove(int wd) EXCLUDES(mu_);
  // The watch ended by itself: its inode went, or IN_ONESHOT.
  void ended(InotifyWatch& watch) EXCLUDES(mu_);
  void close() EXCLUDES(mu_);
  std::vector<Ref<InotifyWatch>> watches() EXCLUDES(mu_);

  USK_FIELDS(events_, watches_, last_wd_, closed_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  Result<int> change_locked(InotifyWatch& watch, uint32_t mask) REQUIRES(mu_);
  Ref<InotifyWatch> find_locked(const Inode& inode) REQUIRES(mu_);
  void drop_event_locked() REQUIRES(mu_);

  Mutex<Rank::kFile> mu_;
  std::deque<InotifyEvent> events_ GUARDED_BY(mu_);
  size_t charged_ GUARDED_BY(mu_) = 0;  // To kernel_memory(), for the events.
  std::map<int, Ref<InotifyWatch>> watches_ GUARDED_BY(mu_);
  std::map<const Inode*, int> by_inode_ GUARDED_BY(mu_);
  int last_wd_ GUARDED_BY(mu_) = 0;
  bool closed_ GUARDED_BY(mu_) = false;
  WaitQueue queue_;
};

// One watch. The inode's marks hold it, and it holds the inode until it ends.
class InotifyWatch final : public InodeMark {
 public:
  InotifyWatch(Ref<InotifyQueue> queue, Ref<Inode> inode, int wd, uint32_t mask);

  explicit InotifyWatch(Blank) : wd_(0), key_(nullptr), mask_(0) {}

  uint32_t mask() const override { return mask_.load(std::memory_order_relaxed); }
  void set_mask(uint32_t mask) { mask_.store(mask, std::memory_order_relaxed); }
  bool excludes_unlinked() const override { return mask() & IN_EXCL_UNLINK; }
  void on_event(uint32_t events, uint32_t cookie, std::string_view name) override;
  void on_inode_gone() override;

  int wd() const { return wd_; }
  const Inode* key() const { return key_; }
  // The inode, unless the watch has ended; taking it ends the watch's hold.
  Ref<Inode> inode() EXCLUDES(mu_);
  Ref<Inode> take_inode() EXCLUDES(mu_);
  Charge charge;

  USK_FIELDS(queue_, wd_, mask_, fired_, inode_, charge)
  OrFailure<void> restored(state::Restored&);

 private:
  void end();

  Ref<InotifyQueue> queue_;
  int wd_;
  const Inode* key_;
  std::atomic<uint32_t> mask_;
  std::atomic<bool> fired_{false};  // IN_ONESHOT
  Mutex<Rank::kLeaf> mu_;
  Ref<Inode> inode_ GUARDED_BY(mu_);
};

}  // namespace usk
