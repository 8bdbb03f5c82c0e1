#include "fs/anon/epoll_node.h"

#include <algorithm>

#include "fs/vfs/saving.h"

namespace usk {
namespace {

// Bits that say how to report, not what (Linux: EP_PRIVATE_BITS).
constexpr uint32_t kHowBits = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;

}  // namespace

USK_SAVED(EpollNode, "fs/anon/epoll-node")
USK_SAVED(EpollItem, "fs/anon/epoll-item")

OrFailure<void> EpollNode::restored(state::Restored&) {
  Lock lock(mu_);
  for (const Ref<EpollItem>& item : ready_) {
    if (!item || !item->on_list_ || item->node_.get() != this)
      return fail("ready, and not its own");
  }
  return {};
}

OrFailure<void> EpollItem::restored(state::Restored&) {
  if (!node_) return fail("an item of no set");
  if (dead_) {
    file_ = nullptr;
    return {};
  }
  if (!file_ || file_->id() != file_id) return fail("an item of no file");
  if (child && !EpollNode::link(*node_, *child)) return fail("sets within themselves");
  attach(*file_);
  if (!(event_.events & EPOLLET)) look(*file_);
  return {};
}

bool EpollNode::push(EpollItem& item, PollMask events) {
  Lock lock(mu_);
  const uint32_t interest = item.event_.events & ~kHowBits;  // None: disarmed by EPOLLONESHOT.
  if (closed_ || item.dead_ || !(interest & events)) return false;
  if (!item.on_list_) {
    item.on_list_ = true;
    ready_.push_back(Ref<EpollItem>::share(&item));
  }
  return true;
}

void EpollNode::announce() {
  sleepers_.wake(POLLIN | POLLRDNORM);
  queue_.wake(POLLIN | POLLRDNORM);
}

void EpollNode::announce_rest() {
  if (ready_count() > 0) sleepers_.wake(POLLIN | POLLRDNORM);
}

bool EpollNode::take(Taken& taken) {
  Lock lock(mu_);
  while (!ready_.empty()) {
    Ref<EpollItem> item = std::move(ready_.front());
    ready_.pop_front();
    item->on_list_ = false;
    if (item->dead_ || !item->file_->try_ref()) continue;
    taken.file = Ref<File>::adopt(item->file_);
    taken.event = item->event_;
    taken.generation = item->generation_;
    taken.item = std::move(item);
    return true;
  }
  return false;
}

void EpollNode::put_back(const Taken& taken, End end) {
  Lock lock(mu_);
  put_back_locked(taken, end);
}

void EpollNode::put_back_locked(const Taken& taken, End end) {
  EpollItem& item = *taken.item;
  if (closed_ || item.dead_ || item.on_list_) return;
  item.on_list_ = true;
  if (end == End::kFront) {
    ready_.push_front(taken.item);
  } else {
    ready_.push_back(taken.item);
  }
}

void EpollNode::reported(const Taken& taken) {
  Lock lock(mu_);
  EpollItem& item = *taken.item;
  if (taken.event.events & EPOLLONESHOT) {
    // A program that armed it anew meanwhile wants the next event as well.
    if (item.generation_ == taken.generation) item.event_.events &= kHowBits;
  } else if (!(taken.event.events & EPOLLET)) {
    put_back_locked(taken, End::kBack);
  }
}

size_t EpollNode::ready_count() {
  Lock lock(mu_);
  return ready_.size();
}

void EpollNode::set_event(EpollItem& item, const epoll_event& event) {
  Lock lock(mu_);
  item.event_ = event;
  ++item.generation_;
}

epoll_event EpollNode::event_of(EpollItem& item) {
  Lock lock(mu_);
  return item.event_;
}

EpollNode::Target EpollNode::target_of(EpollItem& item) {
  Lock lock(mu_);
  if (item.dead_ || !item.file_->try_ref()) return {};
  return {Ref<File>::adopt(item.file_), item.event_};
}

bool EpollNode::is_dead(EpollItem& item) {
  Lock lock(mu_);
  return item.dead_;
}

Ref<File> EpollNode::kill(EpollItem& item) {
  Ref<File> file;
  {
    Lock lock(mu_);
    if (item.dead_) return {};
    item.dead_ = true;
    // Where the file is just going, its release detaches the item.
    if (item.file_->try_ref()) file = Ref<File>::adopt(std::exchange(item.file_, nullptr));
  }
  if (item.child) unlink(*this, *item.child);
  return file;
}

File* EpollNode::file_released(EpollItem& item) {
  File* file;
  bool unlinks;
  {
    Lock lock(mu_);
    file = std::exchange(item.file_, nullptr);
    unlinks = !item.dead_ && item.child;
    if (!item.dead_) dead_.push_back({item.file_id, item.fd});
    item.dead_ = true;
  }
  if (unlinks) unlink(*this, *item.child);
  return file;
}

std::vector<EpollKey> EpollNode::take_dead() {
  Lock lock(mu_);
  return std::exchange(dead_, {});
}

void EpollNode::close() {
  std::deque<Ref<EpollItem>> dropped;
  Lock lock(mu_);
  closed_ = true;
  dropped.swap(ready_);
}

EpollItem::EpollItem(Ref<EpollNode> node, File& file, int fd, const epoll_event& event)
    : fd(fd), file_id(file.id()), node_(std::move(node)), file_(&file), event_(event) {}

void EpollItem::notify(PollMask events) { tell(events); }

bool EpollItem::notify_exclusive(PollMask events) {
  return tell(events) && !node_->sleepers().empty();
}

bool EpollItem::tell(PollMask events) {
  if (events & File::kReleased) {
    if (File* file = node_->file_released(*this)) file->queue().remove(this);
    return false;
  }
  if (!node_->push(*this, events)) return false;
  node_->announce();
  return true;
}

void EpollItem::attach(File& file) {
  const bool exclusive = node_->event_of(*this).events & EPOLLEXCLUSIVE;
  auto self = Ref<EpollItem>::share(this);
  file.release_queue().add(self, File::kReleased);
  file.queue().add(self, ~File::kReleased, exclusive);
  if (node_->is_dead(*this)) detach(file);  // Removed by another thread already.
}

void EpollItem::look(File& file) {
  if (node_->push(*this, file.poll())) node_->announce();
}

void EpollItem::detach(File& file) {
  file.queue().remove(this);
  file.release_queue().remove(this);
}

}  // namespace usk
