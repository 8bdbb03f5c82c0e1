#include "fs/anon/epoll.h"

#include <fmt/format.h>

#include "fs/vfs/file_system.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/saving.h"

namespace usk {
namespace {

// What EPOLLEXCLUSIVE may be combined with.
constexpr uint32_t kExclusiveBits =
    EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

}  // namespace

USK_SAVED(EpollFile, "fs/anon/epoll")

EpollFile::EpollFile(Ref<const Creds> creds)
    : AnonFile("[eventpoll]", O_RDWR, std::move(creds)), node_(make_ref<EpollNode>()) {}

EpollFile::~EpollFile() {
  node_->close();
  std::map<EpollKey, Ref<EpollItem>> items;
  {
    Lock lock(mu_);
    items.swap(items_);
  }
  for (auto& [key, item] : items) {
    if (Ref<File> file = node_->kill(*item)) item->detach(*file);
  }
}

Result<void> EpollFile::control(int op, const Ref<File>& target, int fd, epoll_event event) {
  if (!target->can(kCanPoll)) return Err(EPERM);
  const bool nested = dynamic_cast<EpollFile*>(target.get());
  if (target.get() == this) return Err(EINVAL);
  if (op != EPOLL_CTL_DEL && (event.events & EPOLLEXCLUSIVE)) {
    if (op == EPOLL_CTL_MOD || nested || (event.events & ~kExclusiveBits)) return Err(EINVAL);
  }
  event.events |= EPOLLERR | EPOLLHUP;
  switch (op) {
    case EPOLL_CTL_ADD: return add(target, fd, event);
    case EPOLL_CTL_MOD: return modify(target, fd, event);
    case EPOLL_CTL_DEL: return remove(target, fd);
    default: return Err(EINVAL);
  }
}

Result<Ref<EpollItem>> EpollFile::insert(const Ref<File>& target, int fd,
                                         const epoll_event& event) {
  Lock lock(mu_);
  drop_dead_locked();
  const EpollKey key{target->id(), fd};
  if (items_.contains(key)) return Err(EEXIST);
  if (items_.size() >= kMaxItems) return Err(ENOSPC);
  auto item = make_ref<EpollItem>(node_, *target, fd, event);
  if (!item->charge.set(sizeof(EpollItem) + 128)) return Err(ENOMEM);
  if (auto* set = dynamic_cast<EpollFile*>(target.get())) {
    TRY(EpollNode::link(*node_, *set->node_));
    item->child = set->node_;
  }
  items_.emplace(key, item);
  return item;
}

Result<void> EpollFile::add(const Ref<File>& target, int fd, const epoll_event& event) {
  Ref<EpollItem> item = TRY(insert(target, fd, event));
  item->attach(*target);
  item->look(*target);
  return {};
}

Result<void> EpollFile::modify(const Ref<File>& target, int fd, const epoll_event& event) {
  Ref<EpollItem> item;
  {
    Lock lock(mu_);
    auto it = items_.find({target->id(), fd});
    if (it == items_.end()) return Err(ENOENT);
    item = it->second;
  }
  if (node_->event_of(*item).events & EPOLLEXCLUSIVE) return Err(EINVAL);
  node_->set_event(*item, event);
  item->look(*target);
  return {};
}

Result<void> EpollFile::remove(const Ref<File>& target, int fd) {
  Ref<EpollItem> item;
  {
    Lock lock(mu_);
    auto it = items_.find({target->id(), fd});
    if (it == items_.end()) return Err(ENOENT);
    item = std::move(it->second);
    items_.erase(it);
  }
  if (Ref<File> file = node_->kill(*item)) item->detach(*file);
  return {};
}

void EpollFile::drop_dead_locked() {
  for (const EpollKey& key : node_->take_dead()) items_.erase(key);
}

Result<size_t> EpollFile::wait(IoOut& out, size_t max) {
  size_t n = 0;
  // As many as are ready now: what is put back at the end has had its turn.
  for (size_t turns = node_->ready_count(); turns > 0 && n < max; --turns) {
    EpollNode::Taken taken;
    if (!node_->take(taken)) break;
    const PollMask mask = taken.file->poll() & taken.event.events;
    if (!mask) continue;
    const epoll_event event{mask, taken.event.data};
    auto put = out.put_object(event);
    if (!put || *put != sizeof event) {
      node_->put_back(taken, EpollNode::End::kFront);
      if (n == 0) return Err(EFAULT);
      break;
    }
    node_->reported(taken);
    ++n;
  }
  node_->announce_rest();
  return n;
}

PollMask EpollFile::poll() {
  for (size_t turns = node_->ready_count(); turns > 0; --turns) {
    EpollNode::Taken taken;
    if (!node_->take(taken)) break;
    if (taken.file->poll() & taken.event.events) {
      node_->put_back(taken, EpollNode::End::kFront);
      return POLLIN | POLLRDNORM;
    }
  }
  return 0;
}

std::string EpollFile::fdinfo() const {
  std::vector<Ref<EpollItem>> items;
  {
    Lock lock(mu_);
    for (auto& [key, item] : items_) items.push_back(item);
  }
  std::string text;
  for (auto& item : items) {
    EpollNode::Target target = node_->target_of(*item);
    if (!target.file) continue;
    const Inode& inode = target.file->inode();
    text += fmt::format("tfd: {:8} events: {:8x} data: {:16x}  pos:0 ino:{:x} sdev:{:x}\n",
                        item->fd, uint32_t(target.event.events), uint64_t(target.event.data.u64),
                        inode.ino(), inode.fs().dev());
  }
  return text;
}

Result<Ref<File>> EpollFile::target(int fd, uint32_t index) {
  std::vector<Ref<EpollItem>> items;
  {
    Lock lock(mu_);
    for (auto& [key, item] : items_) {
      if (key.second == fd) items.push_back(item);
    }
  }
  for (auto& item : items) {
    EpollNode::Target target = node_->target_of(*item);
    if (target.file && index-- == 0) return target.file;
  }
  return Err(ENOENT);
}

size_t EpollFile::item_count() {
  Lock lock(mu_);
  drop_dead_locked();
  return items_.size();
}

OrFailure<void> EpollFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!node_) return fail("a set of nothing");
  Lock lock(mu_);
  for (const auto& [key, item] : items_) {
    if (!item || item->fd != key.second || item->file_id != key.first ||
        !item->belongs_to(*node_)) {
      return fail("an item that is not its own");
    }
  }
  return {};
}

}  // namespace usk
