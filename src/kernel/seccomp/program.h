// Classic BPF programs that judge system calls: seccomp(2), with the checks of Linux.
#pragma once
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace usk::seccomp {

using Program = std::vector<sock_filter>;

// Whether Linux would accept it as a filter. EINVAL. Such a program ends for every call: it only
// jumps forward, reads nothing beyond seccomp_data and no memory cell that it has not written.
Result<void> check_program(std::span<const sock_filter> program);

// The length that counts towards a task's limit: Linux counts the instructions of its own form.
size_t counted_length(std::span<const sock_filter> program);

// A program in the middle of a run.
struct Machine {
  uint32_t pc = 0, a = 0, x = 0;
  std::array<uint32_t, BPF_MEMWORDS> memory{};
};

// Goes on as far as `nr` (and the architecture) alone leads: the verdict; or nothing, with the
// machine at the first instruction that looks at anything else. The program has passed
// check_program().
std::optional<uint32_t> run_by_number(std::span<const sock_filter> program, Machine& machine,
                                      uint32_t nr);

// Whether a run may look at the instruction pointer.
bool reads_ip(std::span<const sock_filter> program);

}  // namespace usk::seccomp
