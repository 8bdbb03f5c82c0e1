// epoll(7)
#pragma once
#include <sys/epoll.h>

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "base/budget.h"
#include "fs/anon/anon_file.h"

namespace usk {

class EpollItem;
class EpollNode;

// An interest list of (file description, descriptor number) pairs and the list of those that may
// be ready. An item does not hold its file: it goes when the description does, so a descriptor
// that was closed but dup()ed keeps reporting.
//
// Invariant: an item whose file became ready since it was last looked at is on the ready list,
// or some thread in wait() or poll() holds it and looks. Files are polled with no lock held.
class EpollFile final : public AnonFile {
 public:
  EpollFile(Ref<const Creds> creds);
  ~EpollFile() override;

  // epoll_ctl(2). The caller has resolved `target` from `fd`; a null `event` is for DEL.
  Result<void> control(int op, const Ref<File>& target, int fd, const epoll_event* event);

  // epoll_wait(2): up to `max` events, struct epoll_event each, into `out`. 0: none now; wait on
  // queue() for POLLIN and ask again.
  Result<size_t> wait(IoOut& out, size_t max);

  PollMask poll() override;
  WaitQueue& queue() override;
  Result<int64_t> ioctl(Caller&, uint32_t, uint64_t) override { return Err(EINVAL); }
  std::string fdinfo() const override EXCLUDES(mu_);
  size_t item_count() const EXCLUDES(mu_);

  // After a restore: registers with the files again. `find` gives the file of an id.
  template <class Find>
  void reattach(Find find);

  USK_FIELDS(items_)

 private:
  using Key = std::pair<uint64_t, int>;  // File::id(), descriptor.

  Result<void> add(const Ref<File>& target, int fd, const epoll_event& event) EXCLUDES(mu_);
  Result<void> modify(const Ref<File>& target, int fd, const epoll_event& event) EXCLUDES(mu_);
  Result<void> remove(const Ref<File>& target, int fd) EXCLUDES(mu_);
  Ref<EpollItem> find(const Key& key) EXCLUDES(mu_);
  void drop_dead_locked(std::vector<Ref<EpollItem>>& dropped) REQUIRES(mu_);

  Ref<EpollNode> node_;
  mutable Mutex<Rank::kEpoll> mu_;
  std::map<Key, Ref<EpollItem>> items_ GUARDED_BY(mu_);
};

}  // namespace usk
