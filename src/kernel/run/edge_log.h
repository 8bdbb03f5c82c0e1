// Which edges of the run-state graph were taken: for tests that are to take each of them.
#pragma once
#include <bitset>
#include <string>

#include "kernel/run/run_state.h"

namespace usk {

// Used by the thread that advances tasks.
class EdgeLog {
 public:
  void add(RunState from, RunState to) {
    taken_.set(size_t(from.id()) * kStates + size_t(to.id()));
  }
  // A line for each: FROM TO.
  std::string text() const;

 private:
  static constexpr size_t kStates = 0
#define RUN_STATE(Name) +1
#include "kernel/run/states.def"
#undef RUN_STATE
      ;
  std::bitset<kStates * kStates> taken_;
};

}  // namespace usk
