// Syscall user dispatch: prctl(2), PR_SET_SYSCALL_USER_DISPATCH.
#pragma once
#include <cstdint>

#include "base/fields.h"
#include "base/result.h"

namespace usk {
class Task;
}  // namespace usk

namespace usk::seccomp {

// Calls from outside a range of addresses go back to the program as SIGSYS, while the byte at
// `selector` says so (0: always). A thread's own: neither inherited nor kept by execve(2).
struct UserDispatch {
  bool on = false;
  uint64_t offset = 0, length = 0, selector = 0;
  USK_FIELDS(on, offset, length, selector)
};

// The prctl. EINVAL, EFAULT.
Result<void> set_user_dispatch(Task& t, uint64_t mode, uint64_t offset, uint64_t length,
                               uint64_t selector);

// Whether the call that the task makes went back to it: a signal waits, and registers are as they
// were before the call.
bool dispatch_to_user(Task& t);

}  // namespace usk::seccomp
