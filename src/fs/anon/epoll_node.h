// The parts of an epoll set that files tell: its ready list and its items.
#pragma once
#include <sys/epoll.h>

#include <deque>
#include <utility>
#include <vector>

#include "base/budget.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/wait.h"
#include "fs/vfs/file.h"

namespace usk {

class EpollItem;
using EpollKey = std::pair<uint64_t, int>;  // File::id(), descriptor.

// The ready list of an epoll set, and its place among nested sets. Outlives the set while a
// wake-up is on its way.
class EpollNode final : public RefCounted {
 public:
  // Who waits in epoll_wait(2), and who waits for the set as a file (poll(2), an outer set).
  WaitQueue& sleepers() { return sleepers_; }
  WaitQueue& queue() { return queue_; }

  // Puts `item` on the ready list if the events interest it; false if not.
  bool push(EpollItem& item, PollMask events) EXCLUDES(mu_);
  // Wakes all who wait.
  void announce();
  // Wakes sleepers if the list is not empty.
  void announce_rest();

  // What was taken off the ready list to be looked at, with its file and its event of then.
  struct Taken {
    Ref<EpollItem> item;
    Ref<File> file;
    epoll_event event{};
    uint32_t generation = 0;
  };
  // The item that is ready longest; false when the list is empty. `taken` is a fresh one: what
  // it held would be released under the lock.
  bool take(Taken& taken) EXCLUDES(mu_);
  enum class End { kFront, kBack };
  void put_back(const Taken& taken, End end) EXCLUDES(mu_);
  // The program gets its event: disarms or puts back as the event's bits say.
  void reported(const Taken& taken) EXCLUDES(mu_);
  size_t ready_count() EXCLUDES(mu_);

  // State of an item (see EpollItem).
  void set_event(EpollItem& item, const epoll_event& event) EXCLUDES(mu_);
  epoll_event event_of(EpollItem& item) EXCLUDES(mu_);
  struct Target {
    Ref<File> file;  // Null when it is gone.
    epoll_event event{};
  };
  Target target_of(EpollItem& item) EXCLUDES(mu_);
  bool is_dead(EpollItem& item) EXCLUDES(mu_);
  // Takes the item out of service; the file to detach it from, if that still lives.
  Ref<File> kill(EpollItem& item) EXCLUDES(mu_);
  // The item's file is about to go: the file to detach from, or null.
  File* file_released(EpollItem& item) EXCLUDES(mu_);
  // The items whose files went since the last call.
  std::vector<EpollKey> take_dead() EXCLUDES(mu_);
  // The set is gone.
  void close() EXCLUDES(mu_);

  // Nesting, over all sets. ELOOP: `child` inside `parent` would make a ring, or a chain of more
  // sets than Linux allows. EINVAL: a wake-up below would run along too many ways up.
  static Result<void> link(EpollNode& parent, EpollNode& child);
  static void unlink(EpollNode& parent, EpollNode& child);

  USK_FIELDS(ready_, dead_, closed_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  friend class EpollNesting;
  void put_back_locked(const Taken& taken, End end) REQUIRES(mu_);

  Mutex<Rank::kEpollReady> mu_;
  std::deque<Ref<EpollItem>> ready_ GUARDED_BY(mu_);
  std::vector<EpollKey> dead_ GUARDED_BY(mu_);
  bool closed_ GUARDED_BY(mu_) = false;
  WaitQueue sleepers_, queue_;
  // Sets right above and below, once for each item. Guarded by the nesting lock.
  std::vector<EpollNode*> parents_, children_;
};

// One file of interest. Told by the file's queues; its private state is guarded by the node's
// lock.
class EpollItem final : public Waiter {
 public:
  EpollItem(Ref<EpollNode> node, File& file, int fd, const epoll_event& event);

  explicit EpollItem(Blank) : fd(-1), file_id(0), file_(nullptr), event_() {}

  void notify(PollMask events) override;
  bool notify_exclusive(PollMask events) override;

  // Registers with the file's queues.
  void attach(File& file);
  // Puts it on the ready list if the file is ready.
  void look(File& file);
  void detach(File& file);

  bool belongs_to(const EpollNode& node) const { return node_.get() == &node; }

  int fd;
  uint64_t file_id;
  Ref<EpollNode> child;  // Of the file, if it is an epoll set itself.
  Charge charge;

  USK_FIELDS(fd, file_id, child, node_, file_, event_, generation_, on_list_, dead_, charge)
  // When all files are whole. An edge that was reported is not reported again.
  static constexpr int kRestoreStage = 10;
  OrFailure<void> restored(state::Restored&);

 private:
  friend class EpollNode;
  bool tell(PollMask events);

  Ref<EpollNode> node_;
  File* file_;  // Null once this is detached, or is to be detached by who took the file.
  epoll_event event_;
  uint32_t generation_ = 0;  // Counts EPOLL_CTL_MOD.
  bool on_list_ = false;
  bool dead_ = false;
};

}  // namespace usk
