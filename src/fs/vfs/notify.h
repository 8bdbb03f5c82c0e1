// inotify(7)'s hooks: who is told what happens to an inode.
#pragma once
#include <sys/inotify.h>

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/lock.h"
#include "base/ref.h"

namespace usk {

class Dentry;
class Inode;
struct Path;

// One watch of one listener on one inode. Event bits are those of inotify(7).
class InodeMark : public RefCounted {
 public:
  // What it wants to hear of; read without a lock.
  virtual uint32_t mask() const = 0;
  // `events` is one event bit, and IN_ISDIR where the subject is a directory. `name` is the
  // child's name for an event of a watched directory's child, else empty. Called with locks up
  // to kInode held at most: it queues and wakes, nothing else.
  virtual void on_event(uint32_t events, uint32_t cookie, std::string_view name) = 0;
  // As on_event() for a child that has no name any more (IN_EXCL_UNLINK).
  virtual bool excludes_unlinked() const { return false; }
  // The inode is gone (after IN_DELETE_SELF or IN_UNMOUNT) and the mark is off it already.
  virtual void on_inode_gone() = 0;
};

// The marks of one inode; Inode::marks().
class InodeMarks {
 public:
  void add(Ref<InodeMark> mark) EXCLUDES(mu_);
  void remove(InodeMark* mark) EXCLUDES(mu_);
  void notify(uint32_t events, uint32_t cookie, std::string_view name, bool unlinked = false)
      EXCLUDES(mu_);
  // Takes all marks off, telling each.
  void inode_gone() EXCLUDES(mu_);
  bool empty() EXCLUDES(mu_);
  ~InodeMarks();

 private:
  Mutex<Rank::kLeaf> mu_;
  std::vector<Ref<InodeMark>> marks_ GUARDED_BY(mu_);
};

// Whether any inode has a mark at all: the fast way out.
bool anyone_watches();

// Something happened to the inode itself (IN_DELETE_SELF, IN_MOVE_SELF, IN_ATTRIB of a link).
void notify_inode(Inode& inode, uint32_t events);
// Something happened to the file at `dentry`: tells the inode's marks and those of the directory
// it stands in, by name. IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_OPEN, IN_CLOSE_*.
void notify_dentry(const Dentry& dentry, uint32_t events);
// Something happened in directory `dir` to `name`: IN_CREATE, IN_DELETE, IN_MOVED_*.
void notify_dir(Inode& dir, uint32_t events, std::string_view name, uint32_t cookie = 0);
uint32_t next_move_cookie();

}  // namespace usk
