#include "fs/vfs/lock_tree.h"

#include <fcntl.h>

#include <tuple>

#include "base/check.h"

namespace usk {
namespace {

bool before(const RecordLock& a, const RecordLock& b) {
  return std::tuple(a.start, a.owner.key()) < std::tuple(b.start, b.owner.key());
}

}  // namespace

void LockTree::update(Node& n) {
  n.height = 1 + std::max(height(n.below[0]), height(n.below[1]));
  n.reach = n.lock.end;
  n.write_reach = n.lock.type == F_WRLCK ? n.lock.end : -1;
  for (const Place& p : n.below) {
    if (!p) continue;
    n.reach = std::max(n.reach, p->reach);
    n.write_reach = std::max(n.write_reach, p->write_reach);
  }
}

// The node below `at` on that side takes its place.
void LockTree::rotate(Place& at, int side) {
  Place up = std::move(at->below[side]);
  at->below[side] = std::move(up->below[1 - side]);
  update(*at);
  up->below[1 - side] = std::move(at);
  at = std::move(up);
  update(*at);
}

void LockTree::balance(Place& at) {
  update(*at);
  for (const int side : {0, 1}) {
    Place& high = at->below[side];
    if (height(high) <= height(at->below[1 - side]) + 1) continue;
    if (height(high->below[1 - side]) > height(high->below[side])) rotate(high, 1 - side);
    return rotate(at, side);
  }
}

void LockTree::insert_at(Place& at, Place fresh) {
  if (!at) {
    at = std::move(fresh);
  } else {
    Place& part = at->below[before(at->lock, fresh->lock)];
    insert_at(part, std::move(fresh));
  }
  balance(at);
}

LockTree::Place LockTree::take_first(Place& at) {
  if (at->below[0]) {
    Place first = take_first(at->below[0]);
    balance(at);
    return first;
  }
  Place first = std::move(at);
  at = std::move(first->below[1]);
  return first;
}

void LockTree::erase_at(Place& at, const RecordLock& lock) {
  CHECK(at);
  if (before(lock, at->lock)) {
    erase_at(at->below[0], lock);
  } else if (before(at->lock, lock)) {
    erase_at(at->below[1], lock);
  } else {
    const Place gone = std::move(at);
    if (!gone->below[0] || !gone->below[1]) {
      at = std::move(gone->below[gone->below[0] ? 0 : 1]);
      return;  // What is left was balanced before.
    }
    at = take_first(gone->below[1]);
    for (const int side : {0, 1}) at->below[side] = std::move(gone->below[side]);
  }
  balance(at);
}

// Where the left part reaches far enough, it has the first that overlaps, or all begin too late.
const RecordLock* LockTree::find(const Node* n, const RecordLock& wanted) {
  if (!n || (wanted.type == F_WRLCK ? n->reach : n->write_reach) < wanted.start) return nullptr;
  if (const RecordLock* first = find(n->below[0].get(), wanted)) return first;
  const RecordLock& l = n->lock;
  if (l.start > wanted.end) return nullptr;
  const bool overlaps = l.end >= wanted.start;
  const bool excludes = l.type == F_WRLCK || wanted.type == F_WRLCK;
  if (overlaps && excludes && !(l.owner == wanted.owner)) return &l;
  return find(n->below[1].get(), wanted);
}

void LockTree::collect(const Node* n, std::vector<RecordLock>& to) {
  if (!n) return;
  collect(n->below[0].get(), to);
  to.push_back(n->lock);
  collect(n->below[1].get(), to);
}

void LockTree::insert(const RecordLock& lock) {
  auto fresh = std::make_unique<Node>();
  fresh->lock = lock;
  insert_at(top_, std::move(fresh));
  size_++;
}

void LockTree::erase(const RecordLock& lock) {
  erase_at(top_, lock);
  size_--;
}

const RecordLock* LockTree::in_the_way(const RecordLock& wanted) const {
  return find(top_.get(), wanted);
}

std::vector<RecordLock> LockTree::all() const {
  std::vector<RecordLock> out;
  out.reserve(size_);
  collect(top_.get(), out);
  return out;
}

}  // namespace usk
