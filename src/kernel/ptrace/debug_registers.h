// Hardware break- and watchpoints of a tracee: u_debugreg of struct user, Intel SDM volume 3,
// chapter 18.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Number 0 to 7. Registers that do not exist read as 0.
uint64_t debug_register(Task& tracee, size_t number);
// EIO: no such register; EINVAL: an address or a condition that there is not; ENOSPC, EOPNOTSUPP:
// the host has none to give.
Result<void> set_debug_register(Task& tracee, size_t number, uint64_t value);

}  // namespace usk
