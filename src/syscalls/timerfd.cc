// timerfd_create(2), timerfd_settime(2), timerfd_gettime(2).
#include "fs/anon/timerfd.h"

#include "fs/vfs/guard.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

Result<Ref<TimerFd>> timer_file(Task& t, Fd fd) {
  auto timer = ref_cast<TimerFd>(TRY(t.file(fd.n)));
  if (!timer) return Err(EINVAL);
  return timer;
}

}  // namespace

SyscallResult timerfd_create(Task& t, int32_t clock, CloexecFlags flags) {
  TRY(flags.only(TFD_CLOEXEC | TFD_NONBLOCK));
  TRY(ask(Category::kCreate, "!timerfd"));
  auto timer = TRY(TimerFd::make(clock, int(flags.bits), t.creds));
  return TRY(t.add_fd(std::move(timer), flags.has(TFD_CLOEXEC)));
}

SyscallResult timerfd_settime(Task& t, Fd fd, int32_t flags, UserPtr<const itimerspec> value,
                              UserPtr<itimerspec> old) {
  const itimerspec wanted = TRY(t.mem().get(value));
  const TimerFd::Set set = TRY(TRY(timer_file(t, fd))->settime(*t.creds, flags, wanted));
  if (set.cancelled) return Err(ECANCELED);
  if (old) TRY(t.mem().put(old, set.before));
  return 0;
}

SyscallResult timerfd_gettime(Task& t, Fd fd, UserPtr<itimerspec> value) {
  TRY(t.mem().put(value, TRY(timer_file(t, fd))->gettime()));
  return 0;
}

}  // namespace usk::sys
