// The Yama security module's say in ptrace(2): kernel.yama.ptrace_scope
// (Documentation/admin-guide/LSM/Yama.rst).
#pragma once
#include <map>

#include "kernel/task/access.h"

namespace usk {

// 0: anybody the access check lets; 1: descendants and PR_SET_PTRACER's choice; 2: with
// CAP_SYS_PTRACE only; 3: nobody, and it stays so.
class Yama {
 public:
  static constexpr int kMaxScope = 3;
  int scope() const { return scope_; }
  // EINVAL: no such scope, or it was 3.
  Result<void> set_scope(int scope);
  // PR_SET_PTRACER: `tracer` (a process, any: null) may trace `tracee`.
  void allow(ThreadGroup& tracee, std::optional<const ThreadGroup*> tracer) REQUIRES(task_mutex);
  void forget(const ThreadGroup& group) REQUIRES(task_mutex);
  bool allows_attach(const Task& tracer, const Task& target) const REQUIRES(task_mutex);

 private:
  bool is_exempt(const Task& tracer, const Task& target) const REQUIRES(task_mutex);
  int scope_ = 0;
  // By tracee; null: anybody.
  std::map<const ThreadGroup*, const ThreadGroup*> exceptions_ GUARDED_BY(task_mutex);

 public:
  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    Exceptions exceptions = exceptions_in_order();
    ar.all("scope_, exceptions", scope_, exceptions);
    if constexpr (A::kLoading) exceptions_ = {exceptions.begin(), exceptions.end()};
  }

 private:
  using Exceptions = std::vector<std::pair<const ThreadGroup*, const ThreadGroup*>>;
  Exceptions exceptions_in_order() const REQUIRES(task_mutex);
};

// PTRACE_MODE_ATTACH_REALCREDS or _FSCREDS: what attaching and what gives as much ask for, Yama's
// say included.
bool may_attach(const Task& tracer, const Task& target, AccessCreds which = AccessCreds::kReal)
    REQUIRES(task_mutex);
// Whether `parent` may become the tracer of `t`. EPERM.
Result<void> yama_allows_traceme(const Task& parent, const Task& t) REQUIRES(task_mutex);

}  // namespace usk
