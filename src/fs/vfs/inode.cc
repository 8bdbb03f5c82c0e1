#include "fs/vfs/inode.h"

#include <set>

#include "fs/vfs/file.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/locks.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/saving.h"

namespace usk {

struct Inode::Extras final : RefCounted {
  FileLocks locks;
  InodeMarks marks;
  Mutex<Rank::kLeaf> mu;
  Ref<RefCounted> attached GUARDED_BY(mu);
  std::atomic<bool> listed{false};  // In `lockable`.

  // Marks are registered anew by whom they belong to.
  USK_FIELDS(locks, attached)
  OrFailure<void> restored(state::Restored&) {
    locks.leases.count_loaded();
    return {};
  }
};

USK_SAVED(Inode::Extras, "fs/vfs/inode-extras")

namespace {
Mutex<Rank::kLeaf> lockable_mutex;
std::set<Inode*> lockable GUARDED_BY(lockable_mutex);
}  // namespace

std::vector<Ref<Inode>> inodes_with_locks() {
  std::vector<Ref<Inode>> out;
  Lock lock(lockable_mutex);
  for (Inode* inode : lockable) {
    if (inode->try_ref()) out.push_back(Ref<Inode>::adopt(inode));
  }
  return out;
}

Inode::Inode(Ref<FileSystem> fs, Ino ino, uint32_t type)
    : fs_(std::move(fs)), ino_(ino), type_(type & S_IFMT) {}

Inode::Inode(Blank) : ino_(0), type_(0) {}

Inode::~Inode() {
  Extras* e = extras_.load();
  if (e && e->listed) {
    Lock lock(lockable_mutex);
    lockable.erase(this);
  }
  if (e) e->unref();
}

Result<void> Inode::permission(uint32_t may, const Creds& creds) {
  const Attr a = TRY(getattr());
  return check_mode_bits({a.mode, a.uid, a.gid}, may, creds);
}

Inode::Extras& Inode::extras() {
  Extras* e = extras_.load(std::memory_order_acquire);
  if (e) return *e;
  auto* fresh = new Extras;
  if (extras_.compare_exchange_strong(e, fresh, std::memory_order_acq_rel)) return *fresh;
  fresh->unref();
  return *e;
}

Ref<RefCounted> Inode::saved_extras() const NO_THREAD_SAFETY_ANALYSIS {
  Extras* e = extras_.load();
  if (!e || (!e->attached && e->locks.empty())) return {};
  return Ref<RefCounted>::share(e);
}

bool Inode::load_extras(const Ref<RefCounted>& loaded) {
  if (!loaded) return true;
  auto* e = dynamic_cast<Extras*>(loaded.get());
  if (!e || e->listed.exchange(true) || extras_.load()) return false;
  e->ref();
  extras_ = e;
  Lock lock(lockable_mutex);
  lockable.insert(this);
  return true;
}

OrFailure<void> Inode::restored(state::Restored&) {
  if (!fs_) return fail("an inode of no file system");
  return {};
}

FileLocks& Inode::locks() {
  Extras& e = extras();
  if (!e.listed.exchange(true)) {
    Lock lock(lockable_mutex);
    lockable.insert(this);
  }
  return e.locks;
}
InodeMarks& Inode::marks() { return extras().marks; }
bool Inode::has_locks() const { return extras_.load(std::memory_order_acquire); }

bool Inode::has_marks() const {
  Extras* e = extras_.load(std::memory_order_acquire);
  return e && !e->marks.empty();
}

Result<void> Inode::get_write_access() {
  int n = writers_.load();
  do {
    if (n < 0) return Err(ETXTBSY);
  } while (!writers_.compare_exchange_weak(n, n + 1));
  return {};
}

void Inode::put_write_access() { writers_.fetch_sub(1); }

Result<void> Inode::deny_write_access() {
  int n = writers_.load();
  do {
    if (n > 0) return Err(ETXTBSY);
  } while (!writers_.compare_exchange_weak(n, n - 1));
  return {};
}

void Inode::allow_write_access() { writers_.fetch_add(1); }

Ref<RefCounted> Inode::attached() {
  if (!extras_.load(std::memory_order_acquire)) return {};
  Extras& e = extras();
  Lock lock(e.mu);
  return e.attached;
}

Ref<RefCounted> Inode::attach(Ref<RefCounted> object) {
  Extras& e = extras();
  Lock lock(e.mu);
  if (!e.attached) e.attached = std::move(object);
  return e.attached;
}

void Inode::detach(const RefCounted* object) {
  if (!extras_.load(std::memory_order_acquire)) return;
  Extras& e = extras();
  Ref<RefCounted> dropped;
  Lock lock(e.mu);
  if (e.attached.get() == object) dropped = std::move(e.attached);
}

}  // namespace usk
