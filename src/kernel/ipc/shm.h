// System V shared memory: shmget(2), shmop(2), shmctl(2).
#pragma once
#include <sys/shm.h>

#include "base/lock.h"
#include "fs/mem/mem_regular.h"
#include "kernel/ipc/ipc.h"

namespace usk {

class IpcNamespace;

class ShmSegment final : public IpcObject {
 public:
  // Charges the segment's pages against `memory`; ENOMEM. The inode has the identifier's number, as
  // Linux shows it in /proc/PID/maps.
  static Result<Ref<ShmSegment>> make(uint64_t size, Ref<MemQuota> memory, Ino ino);
  ~ShmSegment() override;

  uint64_t size() const { return size_; }
  uint64_t pages() const { return (size_ + 4095) / 4096; }
  uint64_t resident_pages();
  const Ref<MemInode>& inode() const { return inode_; }
  uint64_t attached = 0;  // Areas of address spaces that map it. Derived.
  int64_t attached_at = 0, detached_at = 0, changed_at = 0;
  PidStamp creator, last;
  USK_FIELDS_OF(IpcObject, attached_at, detached_at, changed_at, creator, last, size_, inode_,
                memory_)
  OrFailure<void> restored(state::Restored&);

 private:
  friend state::Access;
  explicit ShmSegment(Blank) : size_(0) {}
  ShmSegment(uint64_t size, Ref<MemQuota> memory) : size_(size), memory_(std::move(memory)) {}
  uint64_t size_;
  Ref<MemInode> inode_;
  Ref<MemQuota> memory_;
};

// What an attachment maps. Never in a descriptor table.
class ShmFile final : public MemFile {
 public:
  ShmFile(Ref<IpcNamespace> ns, Ref<ShmSegment> segment, Path path, int flags,
          Ref<const Creds> creds);
  explicit ShmFile(Blank b);
  ~ShmFile() override;
  uint64_t segment_size() const override { return segment_->size(); }
  void count_areas(int64_t delta) override;
  USK_FIELDS_OF(File, ns_, segment_)
  OrFailure<void> restored(state::Restored& r);

 private:
  Ref<IpcNamespace> ns_;
  Ref<ShmSegment> segment_;
};

struct ShmLimits {
  uint64_t max = UINT64_MAX - (1 << 24), total_pages = UINT64_MAX - (1 << 24);  // shmmax, shmall
  int segments = 4096;                                                          // shmmni
  USK_FIELDS(max, total_pages, segments)
};

// The segments of a namespace.
class ShmTable {
 public:
  ShmTable(Ref<UserNamespace> owner, Ref<MemQuota> memory)
      : owner_(std::move(owner)), memory_(std::move(memory)) {}

  explicit ShmTable(Blank) {}

  // `room`: whether a new segment of that size may be reserved.
  Result<int> get(const IpcCaller& who, key_t key, uint64_t size, int flags, Result<void> room)
      EXCLUDES(mu_);
  // For shmat(2): what to map. `access`: permission bits. EINVAL, EACCES.
  Result<Ref<ShmFile>> open(const IpcCaller& who, const Ref<IpcNamespace>& self, int id,
                            uint32_t access) EXCLUDES(mu_);
  // So many areas came (or went); the last may take a removed segment along.
  void count_areas(ShmSegment& segment, int64_t delta) EXCLUDES(mu_);

  // shmctl(2)
  Result<void> remove(const IpcCaller& who, int id) EXCLUDES(mu_);
  Result<void> set(const IpcCaller& who, int id, const shmid_ds& to) EXCLUDES(mu_);
  // SHM_LOCK, SHM_UNLOCK; `limit`: RLIMIT_MEMLOCK.
  Result<void> lock_in_memory(const IpcCaller& who, int id, bool locked, uint64_t limit)
      EXCLUDES(mu_);
  struct Status {
    shmid_ds data;
    int id;
  };
  Result<Status> stat(const IpcCaller& who, const PidNamespace& pids, int id, bool by_slot,
                      bool checked) EXCLUDES(mu_);
  struct Usage {
    int segments = 0, highest_slot = 0;
    uint64_t pages = 0, resident_pages = 0;
  };
  Usage usage() EXCLUDES(mu_);
  std::vector<Ref<ShmSegment>> all() EXCLUDES(mu_);
  // One line of /proc/sysvipc/shm.
  std::string line(ShmSegment& segment, const Creds& viewer, const PidNamespace& pids)
      EXCLUDES(mu_);

  ShmLimits limits() EXCLUDES(mu_);
  void set_limits(const ShmLimits& limits) EXCLUDES(mu_);

  USK_FIELDS(owner_, memory_, segments_, pages_, limits_)
  OrFailure<void> restore() EXCLUDES(mu_);  // After a load.

 private:
  Ref<ShmSegment> destroy(ShmSegment& segment) REQUIRES(mu_);

  Ref<UserNamespace> owner_;
  Ref<MemQuota> memory_;
  Mutex<Rank::kIpc> mu_;
  IpcIds<ShmSegment> segments_ GUARDED_BY(mu_);
  uint64_t pages_ GUARDED_BY(mu_) = 0;
  ShmLimits limits_ GUARDED_BY(mu_);
};

}  // namespace usk
