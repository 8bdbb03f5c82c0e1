// The parts of an epoll set that files tell: its ready list and its items.
#pragma once
#include <sys/epoll.h>

#include <deque>
#include <vector>

#include "base/budget.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/wait.h"
#include "fs/vfs/file.h"

namespace usk {

class EpollItem;

// The ready list of an epoll set, and its place among nested sets. Outlives the set while a
// wake-up is on its way.
class EpollNode final : public RefCounted {
 public:
  // Linux: EP_MAX_NESTS, sets within sets.
  static constexpr int kMaxNesting = 4;

  WaitQueue& queue() { return queue_; }

  // Puts `item` on the ready list if the events still interest it; false if not.
  bool push(EpollItem& item, PollMask events) EXCLUDES(mu_);
  // Wakes who waits for the set.
  void announce();
  // The item that waited longest, taken off the list, with its file and its events; null file:
  // the file is gone. False when the list is empty.
  struct Taken {
    Ref<EpollItem> item;
    Ref<File> file;
    epoll_event event;
  };
  bool take(Taken& taken) EXCLUDES(mu_);
  // Puts a taken item back, at the front or at the end.
  enum class End { kFront, kBack };
  void put_back(const Taken& taken, End end) EXCLUDES(mu_);
  // A taken item was reported; false when meanwhile it changed or was removed.
  void reported(const Taken& taken) EXCLUDES(mu_);
  size_t ready_count() EXCLUDES(mu_);

  // State of an item (see EpollItem).
  void set_event(EpollItem& item, const epoll_event& event) EXCLUDES(mu_);
  epoll_event event_of(EpollItem& item) EXCLUDES(mu_);
  bool is_dead(EpollItem& item) EXCLUDES(mu_);
  // Takes the item out of service; the file it was for, if that still lives.
  Ref<File> kill(EpollItem& item) EXCLUDES(mu_);
  // The item's file is about to go. False when the item was out of service before.
  bool file_released(EpollItem& item) EXCLUDES(mu_);
  // The set is gone.
  void close() EXCLUDES(mu_);

  // Nesting, over all sets: ELOOP when `child` inside `parent` would make a ring or more than
  // kMaxNesting levels, EINVAL when too many paths would lead up from it.
  static Result<void> link(EpollNode& parent, EpollNode& child);
  static void unlink(EpollNode& parent, EpollNode& child);

 private:
  friend struct EpollNesting;
  Mutex<Rank::kEpollReady> mu_;
  std::deque<Ref<EpollItem>> ready_ GUARDED_BY(mu_);
  bool closed_ GUARDED_BY(mu_) = false;
  // Sets right above and below, once for each item. Guarded by the nesting lock.
  std::vector<EpollNode*> parents_, children_;
  WaitQueue queue_;
};

// One file of interest. Told by the file's queues; its state is guarded by the node's lock.
class EpollItem final : public Waiter {
 public:
  EpollItem(Ref<EpollNode> node, File& file, int fd, const epoll_event& event);

  void notify(PollMask events) override;
  bool notify_exclusive(PollMask events) override;

  // Registers with the file's queues, and looks whether it is ready already.
  void attach(File& file);
  void detach(File& file);

  const int fd;
  const uint64_t file_id;
  Ref<EpollNode> child;  // Of the file, if it is an epoll set itself.
  Charge charge;

  USK_FIELDS(fd, file_id, event_, on_list_)

 private:
  friend class EpollNode;
  bool tell(PollMask events);

  const Ref<EpollNode> node_;
  File* file_;  // Null when it is gone or the item is removed.
  epoll_event event_;
  bool on_list_ = false;
};

}  // namespace usk
