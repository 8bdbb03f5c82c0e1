// epoll_create(2), epoll_ctl(2), epoll_wait(2).
#include "fs/anon/epoll.h"

#include "fs/vfs/guard.h"
#include "syscalls/signal_mask.h"
#include "syscalls/time_args.h"

namespace usk::sys {
namespace {

Result<Ref<EpollFile>> epoll_file(Task& t, Fd fd) {
  auto set = ref_cast<EpollFile>(TRY(t.file(fd.n)));
  if (!set) return Err(EINVAL);
  return set;
}

SyscallResult do_wait(Task& t, Fd epfd, UserPtr<epoll_event> events, int32_t max,
                      std::optional<int64_t> timeout) {
  if (max <= 0 || uint32_t(max) > INT32_MAX / sizeof(epoll_event)) return Err(EINVAL);
  Ref<EpollFile> set = TRY(epoll_file(t, epfd));
  const Deadline until = t.deadline(timeout);
  auto look = [&]() -> Result<size_t> {
    GuestOut out = t.out({events.addr, uint64_t(max) * sizeof(epoll_event)});
    return set->wait(out, size_t(max));
  };
  if (size_t n = TRY(look())) return n;
  if (t.timed_out()) return 0;
  t.waits().add(set->sleepers(), POLLIN, set);
  if (size_t n = TRY(look())) return n;
  return Block{until, OnSignal::kInterrupt};
}

SyscallResult masked_wait(Task& t, Fd epfd, UserPtr<epoll_event> events, int32_t max,
                          std::optional<int64_t> timeout, UserPtr<const uint64_t> mask,
                          uint64_t size) {
  if (t.frame.first) TRY(swap_mask(t, mask, size));
  return finish_masked_wait(t, do_wait(t, epfd, events, max, timeout), {});
}

std::optional<int64_t> from_ms(int32_t ms) {
  if (ms < 0) return std::nullopt;
  return int64_t(ms) * 1'000'000;
}

}  // namespace

SyscallResult epoll_create1(Task& t, CloexecFlags flags) {
  TRY(flags.only(EPOLL_CLOEXEC));
  TRY(ask(Category::kCreate, "!eventpoll"));
  return TRY(t.add_fd(make_ref<EpollFile>(t.creds), flags.has(EPOLL_CLOEXEC)));
}

SyscallResult epoll_create(Task& t, int32_t size) {
  if (size <= 0) return Err(EINVAL);
  return epoll_create1(t, {0});
}

SyscallResult epoll_ctl(Task& t, Fd epfd, int32_t op, Fd fd, UserPtr<const epoll_event> event) {
  epoll_event e{};
  if (op != EPOLL_CTL_DEL) e = TRY(t.mem().get(event));
  Ref<File> set = TRY(t.file(epfd.n)), target = TRY(t.file(fd.n));
  if (!target->can(File::kCanPoll)) return Err(EPERM);
  auto epoll = ref_cast<EpollFile>(set);
  if (!epoll) return Err(EINVAL);
  TRY(epoll->control(op, target, fd.n, e));
  return 0;
}

SyscallResult epoll_wait(Task& t, Fd epfd, UserPtr<epoll_event> events, int32_t max,
                         int32_t timeout_ms) {
  return do_wait(t, epfd, events, max, from_ms(timeout_ms));
}

SyscallResult epoll_pwait(Task& t, Fd epfd, UserPtr<epoll_event> events, int32_t max,
                          int32_t timeout_ms, UserPtr<const uint64_t> mask, uint64_t size) {
  return masked_wait(t, epfd, events, max, from_ms(timeout_ms), mask, size);
}

SyscallResult epoll_pwait2(Task& t, Fd epfd, UserPtr<epoll_event> events, int32_t max,
                           UserPtr<const KernelTimespec> timeout, UserPtr<const uint64_t> mask,
                           uint64_t size) {
  std::optional<int64_t> ns;
  if (t.frame.first) ns = TRY(get_timeout(t, timeout));
  return masked_wait(t, epfd, events, max, ns, mask, size);
}

}  // namespace usk::sys
