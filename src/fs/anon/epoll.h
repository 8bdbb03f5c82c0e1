// epoll(7)
#pragma once
#include <map>

#include "fs/anon/anon_file.h"
#include "fs/anon/epoll_node.h"

namespace usk {

// An interest list of (file description, descriptor number) pairs and the list of those that may
// be ready. An item does not hold its file: it goes when the description does, so a descriptor
// that was closed but dup()ed keeps reporting.
//
// Invariant: an item whose file became ready since it was last looked at is on the ready list,
// or some thread in wait() or poll() holds it and looks. Files are polled with no lock held.
class EpollFile final : public AnonFile {
 public:
  // Linux: /proc/sys/fs/epoll/max_user_watches, here for each set.
  static constexpr size_t kMaxItems = 400'000;

  explicit EpollFile(Ref<const Creds> creds);
  explicit EpollFile(Blank b) : AnonFile(b) {}
  ~EpollFile() override;

  // epoll_ctl(2). The caller has resolved `target` from `fd`; `event` is unused by DEL.
  Result<void> control(int op, const Ref<File>& target, int fd, epoll_event event) EXCLUDES(mu_);

  // epoll_wait(2): up to `max` events, struct epoll_event each, into `out`. 0: none now; wait on
  // sleepers() for POLLIN and ask again.
  Result<size_t> wait(IoOut& out, size_t max) EXCLUDES(mu_);
  WaitQueue& sleepers() { return node_->sleepers(); }

  PollMask poll() override;
  WaitQueue& queue() override { return node_->queue(); }
  Result<int64_t> ioctl(Caller&, uint32_t, uint64_t) override { return Err(EINVAL); }
  std::string fdinfo() const override EXCLUDES(mu_);
  size_t item_count() EXCLUDES(mu_);
  // The file behind item number `index` of those that were added as `fd`, the oldest file first:
  // kcmp(2).
  Result<Ref<File>> target(int fd, uint32_t index) EXCLUDES(mu_);

  USK_FIELDS_OF(File, node_, items_)
  OrFailure<void> restored(state::Restored& r) EXCLUDES(mu_);

 private:
  Result<void> add(const Ref<File>& target, int fd, const epoll_event& event) EXCLUDES(mu_);
  Result<Ref<EpollItem>> insert(const Ref<File>& target, int fd, const epoll_event& event)
      EXCLUDES(mu_);
  Result<void> modify(const Ref<File>& target, int fd, const epoll_event& event) EXCLUDES(mu_);
  Result<void> remove(const Ref<File>& target, int fd) EXCLUDES(mu_);
  void drop_dead_locked() REQUIRES(mu_);

  Ref<EpollNode> node_;  // Never changes.
  mutable Mutex<Rank::kEpoll> mu_;
  std::map<EpollKey, Ref<EpollItem>> items_ GUARDED_BY(mu_);
};

}  // namespace usk
