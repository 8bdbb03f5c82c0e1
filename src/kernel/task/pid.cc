#include "kernel/task/pid.h"

#include "base/id_counter.h"
#include "fs/vfs/saving.h"
#include "kernel/kernel.h"

namespace usk {

Mutex<Rank::kTaskSet> task_mutex;

USK_SAVED(Pid, "kernel/pid")
USK_SAVED(PidNamespace, "kernel/pid_namespace")

PidNamespace::PidNamespace(Ref<PidNamespace> parent, Ref<UserNamespace> owner)
    : parent_(std::move(parent)),
      owner_(std::move(owner)),
      level_(parent_ ? parent_->level_ + 1 : 0),
      id_(next_namespace_id()) {}

bool PidNamespace::is_ancestor_of(const PidNamespace& of) const {
  for (const PidNamespace* n = &of; n; n = n->parent_.get()) {
    if (n == this) return true;
  }
  return false;
}

Ref<Pid> PidNamespace::find(int nr) {
  auto it = pids_.find(nr);
  return it == pids_.end() ? Ref<Pid>() : Ref<Pid>::share(it->second);
}

std::vector<Ref<Pid>> PidNamespace::all() {
  std::vector<Ref<Pid>> out;
  for (auto& [nr, pid] : pids_) out.push_back(Ref<Pid>::share(pid));
  return out;
}

// Linux: numbers go round; after a wrap they start at 300 (RESERVED_PIDS).
Result<int> PidNamespace::allocate(Pid* pid, int wanted) {
  if (wanted) {
    if (pids_.contains(wanted)) return Err(EEXIST);
    pids_[wanted] = pid;
    return wanted;
  }
  constexpr int kReserved = 300;
  if (pids_.size() >= size_t(pid_max) - 1) return Err(EAGAIN);
  int nr = last_ + 1;
  if (nr >= pid_max) nr = kReserved;
  for (auto it = pids_.lower_bound(nr); it != pids_.end() && it->first == nr; ++it) {
    if (++nr >= pid_max) {
      nr = kReserved;
      it = pids_.lower_bound(nr);
      if (it == pids_.end() || it->first != nr) break;
      --it;
    }
  }
  pids_[nr] = pid;
  return last_ = nr;
}

uint64_t Pid::next_serial() {
  static IdCounter serials("pid");
  return serials.next();
}

Result<Ref<Pid>> Pid::make(Ref<PidNamespace> ns, const std::vector<int>& wanted) {
  auto pid = make_ref<Pid>();
  const int levels = ns->level() + 1;
  pid->numbers_.resize(size_t(levels));
  for (int level = levels - 1; ns; ns = ns->parent(), level--) {
    if (ns->dead) return Err(ENOMEM);
    Number& n = pid->numbers_[size_t(level)];
    n.ns = ns;
    const size_t depth = size_t(levels - 1 - level);
    n.nr = TRY(ns->allocate(pid.get(), depth < wanted.size() ? wanted[depth] : 0));
  }
  return pid;
}

Pid::~Pid() NO_THREAD_SAFETY_ANALYSIS {
  for (Number& n : numbers_) {
    if (n.ns && n.nr) n.ns->pids_.erase(n.nr);
  }
}

OrFailure<void> Pid::restored(state::Restored&) NO_THREAD_SAFETY_ANALYSIS {
  for (const Number& n : numbers_) {
    if (!n.ns || n.nr <= 0) return fail("a process id without a namespace");
    if (!n.ns->pids_.emplace(n.nr, this).second) return fail("a process id that is used twice");
  }
  if (numbers_.empty()) return fail("a process id without a number");
  return {};
}

int Pid::nr_in(const PidNamespace& ns) const {
  const size_t level = size_t(ns.level());
  return level < numbers_.size() && numbers_[level].ns.get() == &ns ? numbers_[level].nr : 0;
}

std::vector<int> Pid::numbers() const {
  std::vector<int> out;
  for (auto it = numbers_.rbegin(); it != numbers_.rend(); ++it) out.push_back(it->nr);
  return out;
}

}  // namespace usk
