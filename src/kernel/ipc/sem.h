// System V semaphores: semget(2), semop(2), semctl(2).
#pragma once
#include <sys/sem.h>

#include <list>
#include <optional>

#include "base/budget.h"
#include "base/lock.h"
#include "base/wait.h"
#include "kernel/ipc/ipc.h"

namespace usk {

class IpcNamespace;
class SemWaiter;

// A set of semaphores.
class SemArray final : public IpcObject {
 public:
  struct Semaphore {
    int value = 0;
    PidStamp changed_by;
    USK_FIELDS(value, changed_by)
  };
  std::vector<Semaphore> semaphores;
  int64_t operated_at = 0, changed_at = 0;
  // By number of an undo list: what it gives back to each semaphore.
  std::map<uint64_t, std::vector<int>> undo;
  Charge charge;
  std::list<SemWaiter*> waiting;  // In order of arrival.
  // Charges for so many semaphores and undo lists; ENOMEM.
  Result<void> recharge(size_t count, size_t undo_lists);
  USK_FIELDS_OF(IpcObject, semaphores, operated_at, changed_at, undo, charge, waiting)
  OrFailure<void> restored(state::Restored&);
};

// One semop(2): the operations, and their result when they had to wait.
class SemWaiter final : public RefCounted {
 public:
  SemWaiter(std::vector<sembuf> o, PidStamp p, uint64_t u)
      : ops(std::move(o)), pid(std::move(p)), undo(u) {}
  explicit SemWaiter(Blank) {}
  std::vector<sembuf> ops;
  PidStamp pid;
  uint64_t undo = 0;    // The caller's undo list; 0: no operation asks for one.
  bool alters() const;  // Any operation but waiting for zero.
  size_t blocking = 0;  // The first operation that cannot be done now.
  Ref<SemArray> array;  // Null: not queued.
  std::optional<Result<void>> outcome;
  WaitQueue done;
  USK_FIELDS(ops, pid, undo, blocking, array, outcome)
  OrFailure<void> restored(state::Restored&);
};

struct SemLimits {
  int per_set = 32000, total = 1024000000, ops = 500, sets = 32000;  // kernel.sem
  USK_FIELDS(per_set, total, ops, sets)
};

// The sets of a namespace.
class SemTable {
 public:
  static constexpr int kMaxValue = 32767;  // SEMVMX, SEMAEM
  explicit SemTable(Ref<UserNamespace> owner) : owner_(std::move(owner)) {}
  explicit SemTable(Blank) {}

  Result<int> get(const IpcCaller& who, key_t key, int count, int flags) EXCLUDES(mu_);
  // Performs the operations or queues them: EAGAIN while they wait, or where one has IPC_NOWAIT
  // and the waiter is not queued. EFBIG, EACCES, EINVAL, ERANGE, EIDRM.
  Result<void> operate(const IpcCaller& who, int id, const Ref<SemWaiter>& waiter) EXCLUDES(mu_);
  Result<void> outcome(SemWaiter& waiter) EXCLUDES(mu_);
  void leave(SemWaiter& waiter) EXCLUDES(mu_);
  // The last task of an undo list ended.
  void apply_undo(uint64_t list, const PidStamp& by) EXCLUDES(mu_);

  // semctl(2)
  Result<void> remove(const IpcCaller& who, int id) EXCLUDES(mu_);
  Result<void> set(const IpcCaller& who, int id, const semid_ds& to) EXCLUDES(mu_);
  struct Status {
    semid_ds data;
    int id;
  };
  Result<Status> stat(const IpcCaller& who, int id, bool by_slot, bool checked) EXCLUDES(mu_);
  // GETVAL, GETPID, GETNCNT, GETZCNT.
  Result<int> query(const IpcCaller& who, const PidNamespace& pids, int id, int number, int what)
      EXCLUDES(mu_);
  Result<void> set_value(const IpcCaller& who, int id, int number, int value) EXCLUDES(mu_);
  // How many semaphores the caller may read or (alter) set; `values` has as many.
  Result<size_t> count(const IpcCaller& who, int id, bool alter) EXCLUDES(mu_);
  Result<std::vector<uint16_t>> values(const IpcCaller& who, int id) EXCLUDES(mu_);
  Result<void> set_values(const IpcCaller& who, int id, const std::vector<uint16_t>& values)
      EXCLUDES(mu_);
  struct Usage {
    int sets = 0, semaphores = 0, highest_slot = 0;
  };
  Usage usage() EXCLUDES(mu_);
  std::vector<Ref<SemArray>> all() EXCLUDES(mu_);
  // One line of /proc/sysvipc/sem.
  std::string line(const SemArray& array, const Creds& viewer) EXCLUDES(mu_);

  SemLimits limits() EXCLUDES(mu_);
  void set_limits(const SemLimits& limits) EXCLUDES(mu_);

  USK_FIELDS(owner_, sets_, total_, limits_)
  OrFailure<void> restore() EXCLUDES(mu_);  // After a load.

 private:
  // True: done. False: would have to wait at w.blocking.
  Result<bool> perform(SemArray& array, SemWaiter& w) REQUIRES(mu_);
  void settle(SemArray& array) REQUIRES(mu_);
  bool settle_once(SemArray& array, bool altering) REQUIRES(mu_);
  Result<void> check_ops(const IpcCaller& who, SemArray& array, const SemWaiter& w) REQUIRES(mu_);

  Ref<UserNamespace> owner_;
  Mutex<Rank::kIpc> mu_;
  IpcIds<SemArray> sets_ GUARDED_BY(mu_);
  int64_t total_ GUARDED_BY(mu_) = 0;
  SemLimits limits_ GUARDED_BY(mu_);
};

// What SEM_UNDO of tasks that share it (CLONE_SYSVSEM) has to give back in one namespace. The last
// of them to go does so.
class SemUndo final : public RefCounted {
 public:
  explicit SemUndo(Ref<IpcNamespace> ns);
  explicit SemUndo(Blank);
  ~SemUndo() override;
  uint64_t number() const { return number_; }
  void mark_used() { used_ = true; }
  USK_FIELDS(ns_, number_, used_)
  OrFailure<void> restored(state::Restored&);

 private:
  Ref<IpcNamespace> ns_;
  uint64_t number_;
  std::atomic<bool> used_{false};
};
// The task's own list, made when it has none.
Ref<SemUndo> sem_undo_of(Task& t);

}  // namespace usk
