// Which call is being served: whose denials are.
#pragma once
#include <optional>

#include "kernel/task/task.h"
#include "policy/action.h"

namespace usk {

// Stands while a handler runs. What is asked outside of one, the kernel does for the guest: a
// command is started, a core is dumped.
struct CurrentCall {
  CurrentCall(Task& t, uint64_t number) : task(t), nr(number), before(now) { now = this; }
  ~CurrentCall() { now = before; }
  CurrentCall(const CurrentCall&) = delete;

  Task& task;
  const uint64_t nr;
  std::optional<policy::Action> penalty;  // The severest of its rules,
  int error = 0;                          // and what it was denied with.
  CurrentCall* const before;

  static thread_local CurrentCall* now;
};

}  // namespace usk
