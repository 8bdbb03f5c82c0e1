#include "kernel/run/watched_calls.h"

#include <algorithm>

#include "kernel/futex/futex.h"
#include "kernel/kernel.h"

namespace usk {

bool calls_are_watched(const Task& t) {
  return !t.kernel.hooks.observers.empty() || t.traced || t.group->debugger || t.seccomp.is_on() ||
         t.dispatch.on || t.tsc_off;
}

void watch_calls(Task& t) {
  t.answered_creds.reset();  // It is published anew before guest code runs on.
  if (!t.cpu || !calls_are_watched(t)) return;
  t.cpu->set_identity(std::nullopt);
  t.mm->space().end_own_futexes(platform::Space::Ended::kForNow);
}

Result<void> allow_tsc(Task& t, bool allowed) {
  t.tsc_off = !allowed;
  watch_calls(t);
  return t.cpu->allow_tsc(allowed);
}

// In front of the vDSO, as the loader has put it.
uint64_t time_page_of(const Task& t) {
  return t.mm->layout.vdso ? t.mm->layout.vdso - platform::kPageSize : 0;
}

void share_futexes(Task& t) {
  if (calls_are_watched(t)) {
    t.mm->space().end_own_futexes(platform::Space::Ended::kForNow);
  } else {
    t.cpu->own_futexes(time_page_of(t));
  }
}

void publish_futexes(Task& t) {
  share_futexes(t);
  platform::Space& space = t.mm->space();
  if (!space.ended_own_futexes_for_now() || futexes().has_private_waiters(*t.mm)) return;
  const bool watched = std::ranges::any_of(t.kernel.all_tasks(), [&](const Ref<Task>& other) {
    return other->mm == t.mm && calls_are_watched(*other);
  });
  if (!watched) space.begin_own_futexes(time_page_of(t));
}

}  // namespace usk
