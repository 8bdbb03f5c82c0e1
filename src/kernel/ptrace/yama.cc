#include "kernel/ptrace/yama.h"

#include <algorithm>

#include <linux/capability.h>

#include "fs/vfs/guard.h"
#include "kernel/kernel.h"

namespace usk {

Result<void> Yama::set_scope(int scope) {
  if (scope < 0 || scope > kMaxScope || (scope_ == kMaxScope && scope != kMaxScope)) {
    return Err(EINVAL);
  }
  scope_ = scope;
  return {};
}

void Yama::allow(ThreadGroup& tracee, std::optional<const ThreadGroup*> tracer) {
  if (tracer) {
    exceptions_[&tracee] = *tracer;
  } else {
    exceptions_.erase(&tracee);
  }
}

void Yama::forget(const ThreadGroup& group) {
  exceptions_.erase(&group);
  std::erase_if(exceptions_, [&](const auto& e) { return e.second == &group; });
}

bool Yama::is_exempt(const Task& tracer, const Task& target) const {
  const auto it = exceptions_.find(target.group.get());
  if (it == exceptions_.end()) return false;
  if (!it->second) return true;
  for (const ThreadGroup* g = tracer.group.get(); g; g = g->parent) {
    if (g == it->second) return true;
  }
  return false;
}

bool Yama::allows_attach(const Task& tracer, const Task& target) const {
  if (scope_ == 0 || tracer.group.get() == target.group.get()) return true;
  if (scope_ == kMaxScope) return false;
  if (tracer.creds->capable(CAP_SYS_PTRACE, *target.creds->user_ns)) return true;
  if (scope_ == 2) return false;
  for (const ThreadGroup* g = target.group.get(); g; g = g->parent) {
    if (g == tracer.group.get()) return true;
  }
  return is_exempt(tracer, target);
}

Yama::Exceptions Yama::exceptions_in_order() const {
  Exceptions all(exceptions_.begin(), exceptions_.end());
  std::ranges::sort(all, {}, [](const auto& e) { return e.first->pid->serial(); });
  return all;
}

bool may_attach(const Task& tracer, const Task& target, AccessCreds which) {
  const bool own = tracer.group.get() == target.group.get();
  if (!own && installed_guard && installed_guard->is_governed_by(*target.group)) return false;
  return may_access(tracer, target, which) && tracer.kernel.yama.allows_attach(tracer, target);
}

Result<void> yama_allows_traceme(const Task& parent, const Task& t) {
  const int scope = t.kernel.yama.scope();
  if (scope == Yama::kMaxScope) return Err(EPERM);
  if (scope == 2 && !parent.creds->capable(CAP_SYS_PTRACE, *t.creds->user_ns)) return Err(EPERM);
  return {};
}

}  // namespace usk
