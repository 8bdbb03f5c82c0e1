// eventfd(2).
#include "fs/anon/eventfd.h"

#include <sys/eventfd.h>

#include "fs/vfs/guard.h"
#include "syscalls/syscalls.h"

namespace usk::sys {

SyscallResult eventfd2(Task& t, uint32_t count, CloexecFlags flags) {
  TRY(flags.only(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
  TRY(ask(Category::kCreate, "!eventfd"));
  auto file =
      make_ref<EventFd>(count, flags.has(EFD_SEMAPHORE), int(flags.bits & EFD_NONBLOCK), t.creds);
  return TRY(t.add_fd(std::move(file), flags.has(EFD_CLOEXEC)));
}

SyscallResult eventfd(Task& t, uint32_t count) { return eventfd2(t, count, {0}); }

}  // namespace usk::sys
