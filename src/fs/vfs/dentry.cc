#include "fs/vfs/dentry.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "fs/vfs/mount.h"
#include "fs/vfs/notify.h"
#include "host/memory_size.h"

namespace usk {

namespace {
// Guards name_ and parent_ of all dentries. Held for a few instructions.
Mutex<Rank::kLeaf> tree_mutex;
}  // namespace

// The cached dentries of all trees, oldest first; second chance for those used meanwhile.
class DentryCache {
 public:
  void add(Dentry* d) EXCLUDES(mu_) {
    Lock lock(mu_);
    d->lru_ = lru_.insert(lru_.end(), d);
  }
  void remove(Dentry* d) EXCLUDES(mu_) {
    Lock lock(mu_);
    lru_.erase(d->lru_);
  }
  // Evicts some of what is too much. The caller holds no dentry's mutex.
  void trim() EXCLUDES(mu_) {
    for (int i = 0; i < kTrimStep; i++) {
      Ref<Dentry> d = next_candidate();
      if (!d) return;
      Ref<Dentry> parent = d->parent();
      if (parent) parent->evict_if_unused(std::move(d));
    }
  }
  size_t size() EXCLUDES(mu_) {
    Lock lock(mu_);
    return lru_.size();
  }
  // A cached name with its inodes takes about a kilobyte.
  std::atomic<size_t> limit{
      std::clamp<size_t>(host::physical_memory() / 128 / 1024, 16384, 131072)};

 private:
  static constexpr int kTrimStep = 32;
  // The oldest not used lately goes to the end of the list; what is in the list is hashed, so
  // its parent holds it and it may be shared.
  Ref<Dentry> next_candidate() EXCLUDES(mu_) {
    Lock lock(mu_);
    if (lru_.size() <= limit) return {};
    for (int i = 0; i < kTrimStep; i++) {
      Dentry* d = lru_.front();
      lru_.splice(lru_.end(), lru_, lru_.begin());
      if (!d->recently_used_.exchange(false, std::memory_order_relaxed)) {
        return Ref<Dentry>::share(d);
      }
    }
    return {};
  }

  Mutex<Rank::kLeaf> mu_;
  std::list<Dentry*> lru_ GUARDED_BY(mu_);
};

namespace {
DentryCache& cache() {
  static auto* c = new DentryCache;
  return *c;
}
}  // namespace

Dentry::Dentry(Kind kind, Ref<Dentry> parent, std::string name, Ref<Inode> inode)
    : name_(std::move(name)), parent_(std::move(parent)), inode_(std::move(inode)), kind_(kind) {}

Ref<Dentry> Dentry::make_root(Ref<Inode> inode) {
  return Ref<Dentry>::adopt(new Dentry(Kind::kRoot, {}, "/", std::move(inode)));
}

Ref<Dentry> Dentry::make_anonymous(Ref<Inode> inode, std::string display) {
  return Ref<Dentry>::adopt(new Dentry(Kind::kAnonymous, {}, std::move(display), std::move(inode)));
}

Ref<Dentry> Dentry::make_nameless(Ref<Dentry> dir, Ref<Inode> inode, bool linkable) {
  std::string name = "#" + std::to_string(inode->ino());
  auto d = Ref<Dentry>::adopt(
      new Dentry(Kind::kNormal, std::move(dir), std::move(name), std::move(inode)));
  d->deleted_ = true;
  d->linkable_ = linkable;
  return d;
}

Dentry::~Dentry() {
  if (inode_ && deleted() && inode_->has_marks()) {
    if (auto attr = inode_->getattr(); attr && attr->nlink == 0) {
      notify_inode(*inode_, IN_DELETE_SELF);
    }
  }
  // A chain of parents may be as long as a guest likes: no recursion. Whom only we hold is not
  // hashed, so nobody can find it meanwhile.
  Ref<Dentry> p = std::move(parent_);
  while (p && p->ref_count() == 1) p = Ref<Dentry>(std::move(p->parent_));
}

std::string Dentry::name() const {
  Lock lock(tree_mutex);
  return name_;
}

Ref<Dentry> Dentry::parent() const {
  Lock lock(tree_mutex);
  return parent_;
}

bool Dentry::is_below_or_same(const Dentry& ancestor) const {
  Lock lock(tree_mutex);
  for (const Dentry* d = this; d; d = d->parent_.get()) {
    if (d == &ancestor) return true;
  }
  return false;
}

Ref<Dentry> Dentry::cached(std::string_view name) {
  if (!inode_->names_are_stable()) return {};
  Lock lock(mu_);
  auto it = children_.find(name);
  if (it == children_.end()) return {};
  it->second->recently_used_.store(true, std::memory_order_relaxed);
  return it->second;
}

Result<Ref<Dentry>> Dentry::lookup(std::string_view name) {
  if (Ref<Dentry> hit = cached(name)) return hit;
  auto found = [&] {
    Lock lock(mu_);
    return lookup_locked(name);
  }();
  cache().trim();
  return found;
}

Result<Ref<Dentry>> Dentry::lookup_locked(std::string_view name) {
  Ref<Dentry> old;
  const bool stable = inode_->names_are_stable();
  if (auto it = children_.find(name); it != children_.end()) {
    old = it->second;
    old->recently_used_.store(true, std::memory_order_relaxed);
    if (stable || old->is_mountpoint()) return old;
  }
  Result<Ref<Inode>> found = inode_->lookup(name);
  if (!found && found.error() != Errno(ENOENT)) return Err(found.error());
  if (found) {
    Inode& inode = **found;
    if (old && !old->is_negative() && old->inode()->ino() == inode.ino() &&
        old->inode()->type() == inode.type()) {
      return old;
    }
    return add_locked(name, *std::move(found));
  }
  if (old && !old->is_negative()) remove_locked(*old);
  auto negative = Ref<Dentry>::adopt(
      new Dentry(Kind::kNormal, Ref<Dentry>::share(this), std::string(name), {}));
  if (stable) insert_locked(negative);
  return negative;
}

Ref<Dentry> Dentry::add_locked(std::string_view name, Ref<Inode> inode) {
  if (auto it = children_.find(name); it != children_.end()) {
    Ref<Dentry> old = it->second;
    remove_locked(*old);
  }
  auto d = Ref<Dentry>::adopt(
      new Dentry(Kind::kNormal, Ref<Dentry>::share(this), std::string(name), std::move(inode)));
  insert_locked(d);
  return d;
}

void Dentry::insert_locked(Ref<Dentry> child) {
  Dentry* d = child.get();
  d->hashed_ = true;
  const bool fresh = children_.emplace(d->name_, std::move(child)).second;
  CHECK(fresh);
  cache().add(d);
}

Ref<Dentry> Dentry::unhash_locked(Dentry& child) {
  if (!child.hashed_) return {};
  auto it = children_.find(child.name_);
  CHECK(it != children_.end() && it->second.get() == &child);
  Ref<Dentry> held = std::move(it->second);
  children_.erase(it);
  cache().remove(&child);
  child.hashed_ = false;
  return held;
}

void Dentry::remove_locked(Dentry& child) {
  Ref<Dentry> held = unhash_locked(child);
  child.deleted_.store(true, std::memory_order_release);
}

void Dentry::relocate(Ref<Dentry> parent, std::string_view name) {
  std::string fresh(name);
  Lock lock(tree_mutex);
  name_.swap(fresh);
  std::swap(parent_, parent);
}

void Dentry::move_locked(Ref<Dentry> child, Dentry& to, std::string_view name) {
  unhash_locked(*child);
  if (auto it = to.children_.find(name); it != to.children_.end()) {
    Ref<Dentry> old = it->second;
    to.remove_locked(*old);
  }
  child->relocate(Ref<Dentry>::share(&to), name);
  to.insert_locked(std::move(child));
}

void Dentry::exchange_locked(Ref<Dentry> a, Dentry& other, Ref<Dentry> b) {
  unhash_locked(*a);
  other.unhash_locked(*b);
  const std::string a_name = a->name(), b_name = b->name();
  a->relocate(Ref<Dentry>::share(&other), b_name);
  b->relocate(Ref<Dentry>::share(this), a_name);
  other.insert_locked(std::move(a));
  insert_locked(std::move(b));
}

void Dentry::evict_if_unused(Ref<Dentry> child) {
  Ref<Dentry> dropped;  // Let go after the lock.
  Lock lock(mu_);
  if (child->parent().get() != this || !child->hashed_ || child->is_mountpoint()) return;
  // The cache's count and ours: nobody else has it, and only through us could they.
  if (child->ref_count() > 2) return;
  dropped = unhash_locked(*child);
}

void Dentry::prune() {
  // All below, parents first; then dropped from the end, so that children go before parents.
  std::vector<Ref<Dentry>> all = {Ref<Dentry>::share(this)};
  for (size_t i = 0; i < all.size(); i++) {
    Dentry& d = *all[i];
    Lock lock(d.mu_);
    for (auto& [name, child] : d.children_) all.push_back(child);
  }
  while (all.size() > 1) {
    Ref<Dentry> d = std::move(all.back());
    all.pop_back();
    if (Ref<Dentry> parent = d->parent()) parent->evict_if_unused(std::move(d));
  }
}

namespace {

// Fills a text from its end to its beginning.
class Backwards {
 public:
  explicit Backwards(std::span<char> room) : begin_(room.data()), at_(begin_ + room.size()) {
    end_ = at_;
  }
  bool put_plain(std::string_view name) {
    if (name.size() > size_t(at_ - begin_)) return false;
    at_ -= name.size();
    memcpy(at_, name.data(), name.size());
    return true;
  }
  bool put(std::string_view name) { return put_plain(name) && put_plain("/"); }
  std::string_view text() const { return {at_, size_t(end_ - at_)}; }

 private:
  char* const begin_;
  char *at_, *end_;
};

}  // namespace

Result<std::string_view> PathText::name(const Path& path, std::string_view entry,
                                        std::span<char> room) {
  Backwards out(room);
  if (!entry.empty() && !out.put(entry)) return Err(ENAMETOOLONG);
  Ref<Mount> mount = path.mount;
  const Dentry* d = path.dentry.get();
  Ref<Dentry> held;
  while (true) {
    const Dentry* top = mount ? mount->root().get() : nullptr;
    {
      // What the lock keeps from moving keeps each parent alive.
      Lock lock(tree_mutex);
      for (; d != top && d->parent_; d = d->parent_.get()) {
        if (!out.put(d->name_)) return Err(ENAMETOOLONG);
      }
    }
    if (d != top) break;
    Path place = mount->mountpoint();
    if (!place) break;
    mount = std::move(place.mount);
    held = std::move(place.dentry);
    d = held.get();
  }
  if (!mount || !mount->is_in_a_tree()) {
    const std::string type = mount ? mount->fs().type() : "nowhere";
    if (!out.put_plain("!" + type)) return Err(ENAMETOOLONG);
    return out.text();
  }
  if (out.text().empty()) return std::string_view("/");
  return out.text();
}

void Dentry::set_cache_limit(size_t limit) { cache().limit = limit; }
size_t Dentry::cached_count() { return cache().size(); }

}  // namespace usk
