#include "kernel/ipc/shm.h"

#include <fmt/format.h>
#include <linux/capability.h>

#include "fs/tmpfs/shmem.h"
#include "fs/vfs/dentry.h"
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/task/task.h"

namespace usk {
Result<Ref<ShmSegment>> ShmSegment::make(uint64_t size, Ref<MemQuota> memory, Ino ino) {
  if (!memory->charge_pages((size + 4095) / 4096)) return Err(ENOMEM);
  auto s = Ref<ShmSegment>::adopt(new ShmSegment(size, std::move(memory)));
  auto& fs = static_cast<MemFs&>(shmem_mount()->fs());
  s->inode_ = make_ref<MemRegular>(Ref<MemFs>::share(&fs), ino, NodeInit{.mode = S_IFREG | 0600},
                                   /*charged=*/false);
  TRY(s->inode_->setattr({.set = AttrChange::kSize, .size = s->pages() * 4096}));
  return s;
}

ShmSegment::~ShmSegment() {
  if (memory_) memory_->uncharge_pages(pages());
}

uint64_t ShmSegment::resident_pages() {
  const auto attr = inode_->getattr();
  return attr ? attr->blocks / 8 : 0;
}

ShmFile::ShmFile(Ref<IpcNamespace> ns, Ref<ShmSegment> segment, Path path, int flags,
                 Ref<const Creds> creds)
    : MemFile(std::move(path), flags, std::move(creds)),
      ns_(std::move(ns)),
      segment_(std::move(segment)) {}

ShmFile::~ShmFile() = default;

void ShmFile::count_areas(int64_t delta) { ns_->shm.count_areas(*segment_, delta); }

Result<int> ShmTable::get(const IpcCaller& who, key_t key, uint64_t size, int flags,
                          Result<void> room) {
  if (flags & SHM_HUGETLB) return Err(ENOMEM);  // No huge pages are reserved.
  if (!shmem_mount()) return Err(ENOMEM);       // Made before the lock is taken.
  Lock lock(mu_);
  auto check = [&](ShmSegment& s) -> Result<void> {
    if (s.size() < size) return Err(EINVAL);
    return {};
  };
  auto make = [&]() NO_THREAD_SAFETY_ANALYSIS -> Result<Ref<ShmSegment>> {
    if (size < 1 || size > limits_.max) return Err(EINVAL);
    if (size > UINT64_MAX - 4095) return Err(ENOSPC);
    const uint64_t pages = (size + 4095) / 4096;
    if (pages > limits_.total_pages || pages_ > limits_.total_pages - pages) return Err(ENOSPC);
    TRY(room);
    auto s = TRY(ShmSegment::make(size, memory_, Ino(segments_.next_id())));
    s->creator = who.pid;
    s->changed_at = ipc_now();
    pages_ += pages;
    return s;
  };
  return ipc_get(segments_, key, flags, size_t(limits_.segments), *who.creds, *owner_, check, make);
}

Result<Ref<ShmFile>> ShmTable::open(const IpcCaller& who, const Ref<IpcNamespace>& self, int id,
                                    uint32_t access) {
  Ref<ShmSegment> s;
  key_t key;
  {
    Lock lock(mu_);
    s = Ref<ShmSegment>::share(TRY(segments_.get(id)));
    TRY(may_use(s->perm, access, *who.creds, *owner_));
    key = s->perm.key;
  }
  Path path(shmem_mount(), Dentry::make_anonymous(
                               s->inode(), fmt::format("/SYSV{:08x} (deleted)", uint32_t(key))));
  return make_ref<ShmFile>(self, std::move(s), std::move(path), access & 0222 ? O_RDWR : O_RDONLY,
                           who.creds);
}

Ref<ShmSegment> ShmTable::destroy(ShmSegment& s) {
  pages_ -= s.pages();
  return segments_.remove(s);
}

void ShmTable::count_areas(ShmSegment& s, int64_t delta) {
  if (delta == 0) return;
  Ref<ShmSegment> held;
  Lock lock(mu_);
  s.attached += uint64_t(delta);
  const Task* by = current_task();
  // Restored ones were there before: who attached them, and when, was saved.
  if (delta > 0 && !by) return;
  (delta > 0 ? s.attached_at : s.detached_at) = ipc_now();
  if (by) s.last = PidStamp(*by->group->pid);
  if (s.attached == 0 && (s.perm.mode & SHM_DEST) && !s.removed) held = destroy(s);
}

Result<void> ShmTable::remove(const IpcCaller& who, int id) {
  Ref<ShmSegment> held;
  Lock lock(mu_);
  ShmSegment& s = *TRY(segments_.get(id));
  TRY(may_control(s.perm, *who.creds, *owner_));
  if (s.attached == 0) {
    held = destroy(s);
  } else {
    s.perm.mode |= SHM_DEST;
    segments_.forget_key(s);
  }
  return {};
}

Result<void> ShmTable::set(const IpcCaller& who, int id, const shmid_ds& to) {
  Lock lock(mu_);
  ShmSegment& s = *TRY(segments_.get(id));
  TRY(may_control(s.perm, *who.creds, *owner_));
  TRY(change_perm(s.perm, to.shm_perm, *who.creds));
  s.changed_at = ipc_now();
  return {};
}

// Unlike Linux: the pages are not counted against the locked memory of a user.
Result<void> ShmTable::lock_in_memory(const IpcCaller& who, int id, bool locked, uint64_t limit) {
  Lock lock(mu_);
  ShmSegment& s = *TRY(segments_.get(id));
  if (!who.creds->capable(CAP_IPC_LOCK, *owner_)) {
    if (who.creds->euid != s.perm.uid && who.creds->euid != s.perm.cuid) return Err(EPERM);
    if (locked && limit == 0) return Err(EPERM);
    if (locked && s.size() > limit) return Err(ENOMEM);
  }
  s.perm.mode = locked ? s.perm.mode | SHM_LOCKED : s.perm.mode & ~uint32_t(SHM_LOCKED);
  return {};
}

Result<ShmTable::Status> ShmTable::stat(const IpcCaller& who, const PidNamespace& pids, int id,
                                        bool by_slot, bool checked) {
  Lock lock(mu_);
  const ShmSegment& s = *TRY(by_slot ? segments_.get_slot(id) : segments_.get(id));
  if (checked) TRY(may_use(s.perm, 0444, *who.creds, *owner_));
  Status out = {};
  out.id = s.perm.id;
  out.data.shm_perm = shown_perm(s.perm, *who.creds);
  out.data.shm_segsz = s.size();
  out.data.shm_atime = s.attached_at;
  out.data.shm_dtime = s.detached_at;
  out.data.shm_ctime = s.changed_at;
  out.data.shm_cpid = s.creator.nr_in(pids);
  out.data.shm_lpid = s.last.nr_in(pids);
  out.data.shm_nattch = s.attached;
  return out;
}

ShmTable::Usage ShmTable::usage() {
  Lock lock(mu_);
  Usage u{
      .segments = int(segments_.size()), .highest_slot = segments_.highest_slot(), .pages = pages_};
  for (auto& [slot, s] : segments_.all()) u.resident_pages += s->resident_pages();
  return u;
}

std::vector<Ref<ShmSegment>> ShmTable::all() {
  Lock lock(mu_);
  std::vector<Ref<ShmSegment>> out;
  for (auto& [slot, s] : segments_.all()) out.push_back(s);
  return out;
}

std::string ShmTable::line(ShmSegment& s, const Creds& viewer, const PidNamespace& pids) {
  Lock lock(mu_);
  const UserNamespace& ids = *viewer.user_ns;
  return fmt::format(
      "{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} "
      "{:21}\n",
      s.perm.key, s.perm.id, s.perm.mode, s.size(), s.creator.nr_in(pids), s.last.nr_in(pids),
      s.attached, ids.uid_out(s.perm.uid), ids.gid_out(s.perm.gid), ids.uid_out(s.perm.cuid),
      ids.gid_out(s.perm.cgid), s.attached_at, s.detached_at, s.changed_at,
      s.resident_pages() * 4096, 0);
}

ShmLimits ShmTable::limits() {
  Lock lock(mu_);
  return limits_;
}

void ShmTable::set_limits(const ShmLimits& limits) {
  Lock lock(mu_);
  limits_ = limits;
}

}  // namespace usk
