#include "kernel/run/watched_calls.h"

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
  t.mm->space().end_own_futexes();
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

void publish_futexes(Task& t) {
  if (calls_are_watched(t)) {
    t.mm->space().end_own_futexes();
  } else {
    t.cpu->own_futexes(time_page_of(t));
  }
}

}  // namespace usk
