// What semctl(2) and /proc/sysvipc/sem tell of sets; undo lists.
#include <fmt/format.h>

#include "base/id_counter.h"
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/task/task.h"

namespace usk {

Result<SemTable::Status> SemTable::stat(const IpcCaller& who, int id, bool by_slot, bool checked) {
  Lock lock(mu_);
  const SemArray& a = *TRY(by_slot ? sets_.get_slot(id) : sets_.get(id));
  if (checked) TRY(may_use(a.perm, 0444, *who.creds, *owner_));
  Status s = {};
  s.id = a.perm.id;
  s.data.sem_perm = shown_perm(a.perm, *who.creds);
  s.data.sem_otime = a.operated_at;
  s.data.sem_ctime = a.changed_at;
  s.data.sem_nsems = a.semaphores.size();
  return s;
}

Result<int> SemTable::query(const IpcCaller& who, const PidNamespace& pids, int id, int number,
                            int what) {
  Lock lock(mu_);
  const SemArray& a = *TRY(sets_.get(id));
  TRY(may_use(a.perm, 0444, *who.creds, *owner_));
  if (number < 0 || size_t(number) >= a.semaphores.size()) return Err(EINVAL);
  const SemArray::Semaphore& s = a.semaphores[size_t(number)];
  if (what == GETVAL) return s.value;
  if (what == GETPID) return s.changed_by.nr_in(pids);
  int n = 0;
  for (const SemWaiter* w : a.waiting) {
    const sembuf& op = w->ops[w->blocking];
    n += op.sem_num == number && (op.sem_op == 0) == (what == GETZCNT);
  }
  return n;
}

Result<size_t> SemTable::count(const IpcCaller& who, int id, bool alter) {
  Lock lock(mu_);
  const SemArray& a = *TRY(sets_.get(id));
  TRY(may_use(a.perm, alter ? 0222 : 0444, *who.creds, *owner_));
  return a.semaphores.size();
}

Result<std::vector<uint16_t>> SemTable::values(const IpcCaller& who, int id) {
  Lock lock(mu_);
  const SemArray& a = *TRY(sets_.get(id));
  TRY(may_use(a.perm, 0444, *who.creds, *owner_));
  std::vector<uint16_t> out;
  for (const SemArray::Semaphore& s : a.semaphores) out.push_back(uint16_t(s.value));
  return out;
}

SemTable::Usage SemTable::usage() {
  Lock lock(mu_);
  return {int(sets_.size()), int(total_), sets_.highest_slot()};
}

std::vector<Ref<SemArray>> SemTable::all() {
  Lock lock(mu_);
  std::vector<Ref<SemArray>> out;
  for (auto& [slot, a] : sets_.all()) out.push_back(a);
  return out;
}

std::string SemTable::line(const SemArray& a, const Creds& viewer) {
  Lock lock(mu_);
  const UserNamespace& ids = *viewer.user_ns;
  return fmt::format("{:10} {:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {:10} {:10}\n", a.perm.key,
                     a.perm.id, a.perm.mode, a.semaphores.size(), ids.uid_out(a.perm.uid),
                     ids.gid_out(a.perm.gid), ids.uid_out(a.perm.cuid), ids.gid_out(a.perm.cgid),
                     a.operated_at, a.changed_at);
}

SemLimits SemTable::limits() {
  Lock lock(mu_);
  return limits_;
}

void SemTable::set_limits(const SemLimits& limits) {
  Lock lock(mu_);
  limits_ = limits;
}

namespace {
uint64_t next_undo_number() {
  static IdCounter numbers("semaphore undo");
  return numbers.next();
}
}  // namespace

SemUndo::SemUndo(Ref<IpcNamespace> ns) : ns_(std::move(ns)), number_(next_undo_number()) {}

SemUndo::SemUndo(Blank) : number_(0) {}

SemUndo::~SemUndo() {
  if (!used_) return;
  const Task* t = current_task();
  ns_->sem.apply_undo(number_, t ? PidStamp(*t->group->pid) : PidStamp());
}

Ref<SemUndo> sem_undo_of(Task& t) {
  if (!t.sem_undo) t.sem_undo = make_ref<SemUndo>(ipc_namespace(t.ns));
  return Ref<SemUndo>::share(static_cast<SemUndo*>(t.sem_undo.get()));
}

}  // namespace usk
