// --trace: system calls as text, in the manner of strace(1).
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "kernel/kernel.h"

namespace usk {

// Prints what is seen of tasks while it exists; each finished line goes to `write`.
class CallTrace {
 public:
  virtual ~CallTrace() = default;
};
struct TraceChoice {
  int pid = 0;                              // Of one process (Pid::root_nr()); 0: all.
  std::optional<std::set<uint64_t>> calls;  // These numbers only, and no signals or exits.
};
std::unique_ptr<CallTrace> trace_calls(Kernel& kernel, TraceChoice choice,
                                       std::function<void(const std::string&)> write)
    EXCLUDES(task_mutex);

// "ENOENT", "SIGINT"; a number where there is no name.
std::string errno_name(int code);
std::string signal_name(int sig);

}  // namespace usk
