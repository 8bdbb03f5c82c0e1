#include "fs/anon/inotify_queue.h"

#include <cstring>

#include "fs/anon/inotify.h"
#include "fs/vfs/saving.h"

namespace usk {
namespace {

// What an event takes in the kernel beside its name.
constexpr size_t kEventCost = 96;
// Linux: what every watch reports besides what it asked for.
constexpr uint32_t kAlways = IN_UNMOUNT | IN_IGNORED;

size_t cost_of(const InotifyEvent& event) { return kEventCost + event.name.size(); }

}  // namespace

USK_SAVED(InotifyQueue, "fs/anon/inotify-queue")
USK_SAVED(InotifyWatch, "fs/anon/inotify-watch")

OrFailure<void> InotifyQueue::restored(state::Restored&) {
  Lock lock(mu_);
  for (const InotifyEvent& event : events_) {
    if (event.mask == IN_Q_OVERFLOW) continue;
    if (!kernel_memory().charge(cost_of(event))) return fail("too many events");
    charged_ += cost_of(event);
  }
  for (const auto& [wd, watch] : watches_) {
    const Ref<Inode> inode = watch ? watch->inode() : nullptr;
    if (!inode || watch->wd() != wd) return fail("a watch of nothing");
    if (!by_inode_.emplace(inode.get(), wd).second) return fail("an inode that is watched twice");
  }
  return {};
}

OrFailure<void> InotifyWatch::restored(state::Restored&) {
  if (!queue_) return fail("a watch for nobody");
  const Ref<Inode> watched = inode();
  key_ = watched.get();
  if (watched) watched->marks().add(Ref<InotifyWatch>::share(this));
  return {};
}

size_t InotifyEvent::size() const {
  constexpr size_t kHeader = sizeof(inotify_event);
  if (name.empty()) return kHeader;
  return kHeader + (name.size() + 1 + kHeader - 1) / kHeader * kHeader;
}

std::string InotifyEvent::bytes() const {
  std::string out(size(), '\0');
  const inotify_event header{wd, mask, cookie, uint32_t(size() - sizeof(inotify_event))};
  memcpy(out.data(), &header, sizeof header);
  memcpy(out.data() + sizeof header, name.data(), name.size());
  return out;
}

void InotifyQueue::push(InotifyEvent event) {
  {
    Lock lock(mu_);
    if (closed_) return;
    if (!events_.empty() && !(event.mask & IN_IGNORED)) {
      const InotifyEvent& last = events_.back();
      if (last.wd == event.wd && last.mask == event.mask && last.name == event.name) return;
    }
    const bool full = events_.size() >= InotifyFile::kMaxEvents;
    if (full || !kernel_memory().charge(cost_of(event))) {
      // One overflow event stands for all that is lost; it takes no memory of its own.
      if (!events_.empty() && events_.back().mask == IN_Q_OVERFLOW) return;
      event = {.wd = -1, .mask = IN_Q_OVERFLOW};
    } else {
      charged_ += cost_of(event);
    }
    events_.push_back(std::move(event));
  }
  queue_.wake(POLLIN | POLLRDNORM);
}

void InotifyQueue::drop_event_locked() {
  const InotifyEvent& event = events_.front();
  if (event.mask != IN_Q_OVERFLOW) {
    kernel_memory().release(cost_of(event));
    charged_ -= cost_of(event);
  }
  events_.pop_front();
}

Result<InotifyEvent> InotifyQueue::take(size_t room) {
  Lock lock(mu_);
  if (events_.empty()) return Err(EAGAIN);
  if (events_.front().size() > room) return Err(EINVAL);
  InotifyEvent event = events_.front();
  drop_event_locked();
  return event;
}

size_t InotifyQueue::readable_bytes() {
  Lock lock(mu_);
  size_t n = 0;
  for (const InotifyEvent& event : events_) n += event.size();
  return n;
}

bool InotifyQueue::empty() {
  Lock lock(mu_);
  return events_.empty();
}

Ref<InotifyWatch> InotifyQueue::find_locked(const Inode& inode) {
  auto it = by_inode_.find(&inode);
  return it == by_inode_.end() ? Ref<InotifyWatch>() : watches_[it->second];
}

Result<int> InotifyQueue::change_locked(InotifyWatch& watch, uint32_t mask) {
  if (mask & IN_MASK_CREATE) return Err(EEXIST);
  const uint32_t before = mask & IN_MASK_ADD ? watch.mask() : 0;
  watch.set_mask(before | (mask & ~uint32_t(IN_MASK_ADD)));
  return watch.wd();
}

Result<int> InotifyQueue::add(Ref<Inode> inode, uint32_t mask) {
  Ref<InotifyWatch> watch;
  {
    Lock lock(mu_);
    if (auto same = find_locked(*inode)) return change_locked(*same, mask);
    if (watches_.size() >= InotifyFile::kMaxWatches) return Err(ENOSPC);
    Charge charge;
    if (!charge.set(sizeof(InotifyWatch) + 160)) return Err(ENOMEM);
    do {  // Linux: cyclic, so that a number is not used again soon.
      last_wd_ = last_wd_ == INT32_MAX ? 1 : last_wd_ + 1;
    } while (watches_.contains(last_wd_));
    watch = make_ref<InotifyWatch>(Ref<InotifyQueue>::share(this), inode, last_wd_,
                                   mask & ~uint32_t(IN_MASK_CREATE | IN_MASK_ADD));
    watch->charge = std::move(charge);
    watches_[last_wd_] = watch;
    by_inode_[inode.get()] = last_wd_;
  }
  inode->marks().add(watch);
  return watch->wd();
}

Result<void> InotifyQueue::remove(int wd) {
  Ref<InotifyWatch> watch;
  {
    Lock lock(mu_);
    auto it = watches_.find(wd);
    if (it == watches_.end()) return Err(EINVAL);
    watch = it->second;
  }
  if (Ref<Inode> inode = watch->take_inode()) inode->marks().remove(watch.get());
  ended(*watch);
  return {};
}

void InotifyQueue::ended(InotifyWatch& watch) {
  Ref<InotifyWatch> dropped;  // Released after the lock.
  {
    Lock lock(mu_);
    auto it = watches_.find(watch.wd());
    if (it == watches_.end() || it->second.get() != &watch) return;
    dropped = std::move(it->second);
    watches_.erase(it);
    by_inode_.erase(watch.key());
  }
  push({.wd = watch.wd(), .mask = IN_IGNORED});
}

std::vector<Ref<InotifyWatch>> InotifyQueue::watches() {
  Lock lock(mu_);
  std::vector<Ref<InotifyWatch>> all;
  for (auto& [wd, watch] : watches_) all.push_back(watch);
  return all;
}

void InotifyQueue::close() {
  std::map<int, Ref<InotifyWatch>> dropped;
  {
    Lock lock(mu_);
    closed_ = true;
    kernel_memory().release(std::exchange(charged_, 0));
    events_.clear();
    by_inode_.clear();
    dropped.swap(watches_);
  }
  for (auto& [wd, watch] : dropped) {
    if (Ref<Inode> inode = watch->take_inode()) inode->marks().remove(watch.get());
  }
}

InotifyWatch::InotifyWatch(Ref<InotifyQueue> queue, Ref<Inode> inode, int wd, uint32_t mask)
    : queue_(std::move(queue)),
      wd_(wd),
      key_(inode.get()),
      mask_(mask | kAlways),
      inode_(std::move(inode)) {}

Ref<Inode> InotifyWatch::inode() {
  Lock lock(mu_);
  return inode_;
}

Ref<Inode> InotifyWatch::take_inode() {
  Lock lock(mu_);
  return std::move(inode_);
}

void InotifyWatch::on_event(uint32_t events, uint32_t cookie, std::string_view name) {
  const bool once = mask() & IN_ONESHOT;
  if (once && fired_.exchange(true)) return;
  queue_->push({.wd = wd_, .mask = events, .cookie = cookie, .name = std::string(name)});
  if (once) end();
}

void InotifyWatch::on_inode_gone() {
  take_inode();  // The marks are going: nothing to take this off of.
  queue_->ended(*this);
}

void InotifyWatch::end() {
  auto self = Ref<InotifyWatch>::share(this);
  if (Ref<Inode> inode = take_inode()) inode->marks().remove(this);
  queue_->ended(*this);
}

}  // namespace usk
