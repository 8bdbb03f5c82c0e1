#include "kernel/run/watched_calls.h"

#include "kernel/kernel.h"

namespace usk {

bool calls_are_watched(const Task& t) {
  return !t.kernel.hooks.observers.empty() || t.traced || t.group->debugger || t.seccomp.is_on() ||
         t.dispatch.on;
}

void watch_calls(Task& t) {
  t.answered_creds.reset();  // It is published anew before guest code runs on.
  if (!t.cpu || !calls_are_watched(t)) return;
  t.cpu->set_identity(std::nullopt);
  t.mm->space().end_own_futexes();
}

}  // namespace usk
