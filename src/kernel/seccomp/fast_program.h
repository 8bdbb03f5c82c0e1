// Classic BPF programs in the form in which they run (docs/decisions/0011): for each instruction a
// function that ends in a jump to the next one's, and one for several that mostly stand together.
#pragma once
#include "kernel/seccomp/program.h"

namespace usk::seccomp {

class FastProgram {
 public:
  // Of a program that has passed check_program().
  explicit FastProgram(std::span<const sock_filter> program);

  // Goes on from `machine` to the end: what the program says about the call.
  uint32_t finish(Machine machine, const seccomp_data& data) const;

 private:
  // The program with other codes, instruction by instruction: a step may stand for those that
  // follow it, too, and finds their operands in their places. So a run can begin at any of them.
  std::vector<sock_filter> steps_;
};

}  // namespace usk::seccomp
