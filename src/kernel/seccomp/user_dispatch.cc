#include "kernel/seccomp/user_dispatch.h"

#include <sys/prctl.h>

#include "kernel/run/watched_calls.h"
#include "kernel/seccomp/signals.h"
#include "kernel/signal/send.h"
#include "kernel/task/task.h"

namespace usk::seccomp {
namespace {

constexpr uint64_t kOff = 0, kExclusive = 1, kInclusive = 2;
constexpr uint8_t kAllow = 0, kBlock = 1;
constexpr uint64_t kAddressEnd = 0x7ffffffff000;  // Of any process, on Linux.

void end_process(Task& t, int sig) {
  Lock lock(task_mutex);
  kill_group(t, kernel_siginfo(sig));
}

}  // namespace

Result<void> set_user_dispatch(Task& t, uint64_t mode, uint64_t offset, uint64_t length,
                               uint64_t selector) {
  switch (mode) {
    case kOff:
      if (offset || length || selector) return Err(EINVAL);
      break;
    case kExclusive:
      if (offset && offset + length <= offset) return Err(EINVAL);
      break;
    case kInclusive:
      if (length == 0 || offset + length <= offset) return Err(EINVAL);
      offset += length, length = -length;  // All other addresses.
      break;
    default: return Err(EINVAL);
  }
  if (mode != kOff && selector >= kAddressEnd) return Err(EFAULT);
  t.dispatch = {.on = mode != kOff, .offset = offset, .length = length, .selector = selector};
  watch_calls(t);
  return {};
}

bool dispatch_to_user(Task& t) {
  const UserDispatch& d = t.dispatch;
  Regs& regs = t.cpu->regs();
  if (regs.ip() - d.offset < d.length) return false;
  if (d.selector) {
    const auto state = t.mem().get(UserPtr<const uint8_t>{d.selector});
    if (state && *state == kAllow) return false;
    if (!state || *state != kBlock) {
      end_process(t, state ? SIGSYS : SIGSEGV);
      return true;
    }
  }
  send_sigsys(t, kSysUserDispatch, 0);
  return true;
}

}  // namespace usk::seccomp
