// Record locks of one file by where they are, so that one in the way is found among many.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/fields.h"

namespace usk {

// Who holds a record lock: a process's descriptor table (POSIX) or an open file (OFD, flock).
// Only compared, never followed.
struct LockOwner {
  enum class Kind : uint8_t { kPosix, kOfd };
  friend constexpr Kind saved_max(Kind) { return Kind::kOfd; }
  Kind kind = Kind::kPosix;
  uint64_t id = 0;  // FdTable's id or File::id().
  int pid = -1;     // l_pid of F_GETLK (a kernel pid); -1 for OFD locks.
  friend bool operator==(const LockOwner& a, const LockOwner& b) { return a.key() == b.key(); }
  std::pair<Kind, uint64_t> key() const { return {kind, id}; }
  USK_FIELDS(kind, id, pid)
};

// A lock on [start, end] (both included; end INT64_MAX: to the end of the file for ever).
struct RecordLock {
  LockOwner owner;
  int type = 0;  // F_RDLCK or F_WRLCK
  int64_t start = 0, end = INT64_MAX;
  USK_FIELDS(owner, type, start, end)
};

// A balanced tree ordered by start, in which each part knows how far its locks reach. Locks of one
// owner never overlap. Steps are logarithmic in the number of locks.
class LockTree {
 public:
  LockTree() = default;
  LockTree(const LockTree&) = delete;

  void insert(const RecordLock& lock);
  // The one of this owner that begins there, which must be in it.
  void erase(const RecordLock& lock);
  // The first of another owner's that `wanted` cannot be beside; null: none. What else overlaps and
  // is the owner's own is gone through.
  const RecordLock* in_the_way(const RecordLock& wanted) const;
  size_t size() const { return size_; }
  // In order.
  std::vector<RecordLock> all() const;

 private:
  struct Node;
  using Place = std::unique_ptr<Node>;
  struct Node {
    RecordLock lock;
    int height = 1;
    int64_t reach = 0, write_reach = -1;  // The greatest end here and below; of locks for writing.
    Place below[2];
  };
  static int height(const Place& at) { return at ? at->height : 0; }
  static void update(Node& n);
  static void rotate(Place& at, int side);
  static void balance(Place& at);
  static void insert_at(Place& at, Place fresh);
  static void erase_at(Place& at, const RecordLock& lock);
  static Place take_first(Place& at);
  static const RecordLock* find(const Node* n, const RecordLock& wanted);
  static void collect(const Node* n, std::vector<RecordLock>& to);

  Place top_;
  size_t size_ = 0;
};

}  // namespace usk
