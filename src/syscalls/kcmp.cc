// kcmp(2)
#include <linux/kcmp.h>

#include "fs/anon/epoll.h"
#include "kernel/kernel.h"
#include "kernel/task/access.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

// What a task holds: of one that has ended, nothing.
struct Resources {
  Ref<AddressSpace> mm;
  Ref<FdTable> fds;
  Ref<FsState> fs;
  Ref<SignalHandlers> handlers;
  Ref<RefCounted> undo;
};

Resources resources_of(Task& t) REQUIRES(task_mutex) {
  return {t.mm, t.fds, t.fs, t.dead ? Ref<SignalHandlers>() : t.group->handlers, t.sem_undo};
}

int order(uint64_t x, uint64_t y) { return x == y ? 0 : x < y ? 1 : 2; }

// The number of the oldest task that holds it: an order of resources that a checkpoint does not
// change and that tells nothing of addresses. 0: nobody does.
template <class Held>
int oldest_holder(Kernel& kernel, const Held& held, Held Resources::* which) EXCLUDES(task_mutex) {
  int oldest = 0;
  const auto tasks = held ? kernel.all_tasks() : std::vector<Ref<Task>>();
  Lock lock(task_mutex);
  for (const Ref<Task>& t : tasks) {
    const int nr = t->pid->root_nr();
    if ((oldest == 0 || nr < oldest) && resources_of(*t).*which == held) oldest = nr;
  }
  return oldest;
}

template <class Held>
int order(Kernel& kernel, const Resources& a, const Resources& b, Held Resources::* which) {
  if (a.*which == b.*which) return 0;
  return order(uint64_t(oldest_holder(kernel, a.*which, which)),
               uint64_t(oldest_holder(kernel, b.*which, which)));
}

Result<Ref<File>> file_of(const Resources& r, uint64_t fd) {
  if (!r.fds || fd > INT32_MAX) return Err(EBADF);
  return r.fds->get(int(fd));
}

// The file that an epoll set of the second task watches, struct kcmp_epoll_slot.
Result<Ref<File>> epoll_target(Task& t, const Resources& of, uint64_t slot) {
  const auto s = TRY(t.mem().get(UserPtr<const kcmp_epoll_slot>{slot}));
  const auto set = ref_cast<EpollFile>(TRY(file_of(of, s.efd)));
  if (!set) return Err(EINVAL);
  return set->target(int(s.tfd), s.toff);
}

}  // namespace

SyscallResult kcmp(Task& t, PidNr pid1, PidNr pid2, int32_t type, uint64_t index1,
                   uint64_t index2) {
  const Ref<Task> first = TRY(find_task(t, pid1.n)), second = TRY(find_task(t, pid2.n));
  Resources a, b;
  {
    Lock lock(task_mutex);
    if (!may_access(t, *first, AccessCreds::kReal) || !may_access(t, *second, AccessCreds::kReal)) {
      return Err(EPERM);
    }
    a = resources_of(*first), b = resources_of(*second);
  }
  switch (type) {
    case KCMP_FILE: {
      const auto x = TRY(file_of(a, index1)), y = TRY(file_of(b, index2));
      return order(x->id(), y->id());
    }
    case KCMP_VM: return order(t.kernel, a, b, &Resources::mm);
    case KCMP_FILES: return order(t.kernel, a, b, &Resources::fds);
    case KCMP_FS: return order(t.kernel, a, b, &Resources::fs);
    case KCMP_SIGHAND: return order(t.kernel, a, b, &Resources::handlers);
    case KCMP_IO: return 0;  // Nobody has a context for block devices.
    case KCMP_SYSVSEM: return order(t.kernel, a, b, &Resources::undo);
    case KCMP_EPOLL_TFD: {
      const auto x = TRY(file_of(a, index1));
      return order(x->id(), TRY(epoll_target(t, b, index2))->id());
    }
    default: return Err(EINVAL);
  }
}

}  // namespace usk::sys
