#include "fs/vfs/notify.h"

#include <algorithm>

#include "base/id_counter.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/inode.h"

namespace usk {
namespace {

std::atomic<int> mark_count{0};

uint32_t dir_bit(const Inode& inode) { return inode.is_dir() ? IN_ISDIR : 0; }

}  // namespace

bool anyone_watches() { return mark_count.load(std::memory_order_relaxed) > 0; }

InodeMarks::~InodeMarks() { inode_gone(); }

void InodeMarks::add(Ref<InodeMark> mark) {
  Lock lock(mu_);
  marks_.push_back(std::move(mark));
  mark_count.fetch_add(1);
}

void InodeMarks::remove(InodeMark* mark) {
  Ref<InodeMark> dropped;  // Its last count may go: after the lock.
  Lock lock(mu_);
  auto it = std::find_if(marks_.begin(), marks_.end(), [&](auto& m) { return m.get() == mark; });
  if (it == marks_.end()) return;
  dropped = std::move(*it);
  marks_.erase(it);
  mark_count.fetch_sub(1);
}

void InodeMarks::notify(uint32_t events, uint32_t cookie, std::string_view name, bool unlinked) {
  std::vector<Ref<InodeMark>> told;
  {
    Lock lock(mu_);
    for (const auto& m : marks_) {
      if (!(m->mask() & events & IN_ALL_EVENTS) && !(events & IN_UNMOUNT)) continue;
      if (unlinked && m->excludes_unlinked()) continue;
      told.push_back(m);
    }
  }
  for (const auto& m : told) m->on_event(events, cookie, name);
}

void InodeMarks::inode_gone() {
  std::vector<Ref<InodeMark>> told;
  {
    Lock lock(mu_);
    told.swap(marks_);
    mark_count.fetch_sub(int(told.size()));
  }
  for (const auto& m : told) m->on_inode_gone();
}

bool InodeMarks::empty() {
  Lock lock(mu_);
  return marks_.empty();
}

void notify_inode(Inode& inode, uint32_t events) {
  if (!anyone_watches() || !inode.has_marks()) return;
  inode.marks().notify(events | dir_bit(inode), 0, {});
  if (events & IN_DELETE_SELF) inode.marks().inode_gone();
}

void notify_dentry(const Dentry& dentry, uint32_t events) {
  if (!anyone_watches() || dentry.is_negative()) return;
  Inode& inode = *dentry.inode();
  if (Ref<Dentry> parent = dentry.parent(); parent && parent->inode()->has_marks()) {
    parent->inode()->marks().notify(events | dir_bit(inode), 0, dentry.name(), dentry.deleted());
  }
  notify_inode(inode, events);
}

void notify_dir(Inode& dir, uint32_t events, std::string_view name, uint32_t cookie) {
  if (!anyone_watches() || !dir.has_marks()) return;
  dir.marks().notify(events, cookie, name);
}

uint32_t next_move_cookie() {
  static IdCounter cookies("inotify cookie");
  return uint32_t(cookies.next());
}

}  // namespace usk
