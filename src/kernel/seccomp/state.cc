#include "kernel/seccomp/state.h"

#include "kernel/run/watched_calls.h"
#include "kernel/task/task.h"

namespace usk::seccomp {
namespace {

void assign(Task& t, Mode mode) REQUIRES(task_mutex) {
  t.seccomp.mode = mode;
  watch_calls(t);
}

bool may_assign(const Task& t, Mode mode) {
  const Mode now = t.seccomp.mode;
  return now == Mode::kNone || now == mode;
}

// The first thread that has filters which `newest` does not come from; null: there is none.
Task* cannot_sync(Task& t) REQUIRES(task_mutex) {
  for (Task* other : t.group->tasks) {
    if (other == &t || other->exiting) continue;
    const State& s = other->seccomp;
    if (s.mode == Mode::kNone) continue;
    const bool ancestor =
        !s.filter || (t.seccomp.filter && t.seccomp.filter->descends_from(s.filter.get()));
    if (s.mode != Mode::kFilter || !ancestor) return other;
  }
  return nullptr;
}

void set_no_new_privs(Task& t) REQUIRES(task_mutex) {
  if (t.creds->no_new_privs) return;
  Ref<Creds> c = t.creds->clone();
  c->no_new_privs = true;
  t.creds = c;
}

void sync_threads(Task& t) REQUIRES(task_mutex) {
  for (Task* other : t.group->tasks) {
    if (other == &t || other->exiting) continue;
    State& s = other->seccomp;
    Filter::add_user(*t.seccomp.filter);
    Filter::drop_user(s.filter.get());
    s.filter = t.seccomp.filter;
    s.filter_count = t.seccomp.filter_count;
    // A thread that can be given up does not bring its process around no_new_privs.
    if (t.creds->no_new_privs) set_no_new_privs(*other);
    assign(*other, Mode::kFilter);
  }
}

bool has_listener(const Filter* newest) {
  for (const Filter* f = newest; f; f = f->prev().get()) {
    if (f->notify_queue()) return true;
  }
  return false;
}

}  // namespace

Result<void> set_strict(Task& t) {
  Lock lock(task_mutex);
  if (!may_assign(t, Mode::kStrict)) return Err(EINVAL);
  assign(t, Mode::kStrict);
  return {};
}

Result<int> attach_filter(Task& t, Ref<Filter> filter, uint32_t flags) {
  State& s = t.seccomp;
  if (!may_assign(t, Mode::kFilter)) return Err(EINVAL);
  if (filter->notify_queue() && has_listener(s.filter.get())) return Err(EBUSY);
  TRY(filter->put_before(s.filter));
  if (flags & SECCOMP_FILTER_FLAG_TSYNC) {
    if (Task* other = cannot_sync(t)) {
      if (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH) return Err(ESRCH);
      return other->pid->nr_in(t.pid_ns());
    }
  }
  // What used the newest until now uses this one, which uses it.
  Filter::add_user(*filter);
  s.filter = std::move(filter);
  s.filter_count++;
  assign(t, Mode::kFilter);
  if (flags & SECCOMP_FILTER_FLAG_TSYNC) sync_threads(t);
  return 0;
}

void inherit(Task& from, Task& child) {
  State &s = from.seccomp, &c = child.seccomp;
  c.mode = s.mode.load();
  c.filter = s.filter;
  c.filter_count = s.filter_count;
  if (c.filter) Filter::add_user(*c.filter);
  // It may have come since the child's credentials were copied.
  if (from.creds->no_new_privs) set_no_new_privs(child);
}

void release(Task& t) {
  Ref<Filter> filter = std::exchange(t.seccomp.filter, {});
  Filter::drop_user(filter.get());
}

Ref<const Filter> nth_newest(Task& t, size_t n) {
  Lock lock(task_mutex);
  const Filter* f = t.seccomp.filter ? t.seccomp.filter->nth(n) : nullptr;
  return Ref<const Filter>::share(f);
}

}  // namespace usk::seccomp
