// seccomp(2).
#include "syscalls/seccomp.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "kernel/run/watched_calls.h"
#include "kernel/seccomp/actions.h"
#include "kernel/seccomp/notify_file.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

using seccomp::Filter;

constexpr uint32_t kTsync = SECCOMP_FILTER_FLAG_TSYNC, kLog = SECCOMP_FILTER_FLAG_LOG,
                   kSpecAllow = SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                   kNewListener = SECCOMP_FILTER_FLAG_NEW_LISTENER,
                   kTsyncEsrch = SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
                   kWaitKillable = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

struct FilterArg {  // struct sock_fprog
  uint16_t length, pad[3];
  uint64_t filter;
};
static_assert(sizeof(FilterArg) == 16);

Result<void> check_flags(uint32_t flags) {
  if (flags & ~(kTsync | kLog | kSpecAllow | kNewListener | kTsyncEsrch | kWaitKillable)) {
    return Err(EINVAL);
  }
  // A result could be either a descriptor or the thread that was in the way.
  if ((flags & kTsync) && (flags & kNewListener) && !(flags & kTsyncEsrch)) return Err(EINVAL);
  if ((flags & kWaitKillable) && !(flags & kNewListener)) return Err(EINVAL);
  return {};
}

Result<Ref<Filter>> filter_of(Task& t, uint32_t flags, uint64_t args) {
  const auto given = TRY(t.mem().get(UserPtr<const FilterArg>{args}));
  if (given.length == 0 || given.length > BPF_MAXINSNS) return Err(EINVAL);
  if (!t.creds->no_new_privs && !t.capable(CAP_SYS_ADMIN)) return Err(EACCES);
  if (!given.filter) return Err(EINVAL);
  auto program = TRY(t.mem().get_array(UserPtr<const sock_filter>{given.filter}, given.length));
  return Filter::make(std::move(program), flags);
}

// The descriptor comes first: once the filter is there, nothing may fail.
SyscallResult set_filter(Task& t, uint32_t flags, uint64_t args) {
  TRY(check_flags(flags));
  Ref<Filter> filter = TRY(filter_of(t, flags, args));
  int listener = -1;
  if (flags & kNewListener) {
    listener = TRY(t.add_fd(make_ref<seccomp::NotifyFile>(filter->notify_queue(), t.creds),
                            /*cloexec=*/true));
  }
  Result<int> r = 0;
  bool another_execs = false;
  {
    Lock lock(task_mutex);
    another_execs = (flags & kTsync) && t.group->exec_task;
    if (!another_execs) r = seccomp::attach_filter(t, std::move(filter), flags);
  }
  const bool done = r && *r == 0 && !another_execs;
  if (listener >= 0 && !done) (void)t.fds->remove(listener);
  if (another_execs) return Signalled{OnSignal::kNoIntr};
  if (!r) return std::unexpected(r.error());
  return done && listener >= 0 ? listener : *r;
}

SyscallResult set_strict(Task& t, uint32_t flags, uint64_t args) {
  if (flags || args) return Err(EINVAL);
  TRY(seccomp::set_strict(t));
  TRY(allow_tsc(t, false));
  return 0;
}

SyscallResult get_action(Task& t, uint32_t flags, uint64_t args) {
  if (flags) return Err(EINVAL);
  const auto action = TRY(t.mem().get(UserPtr<const uint32_t>{args}));
  if (seccomp::action_name(action).empty()) return Err(EOPNOTSUPP);
  return 0;
}

SyscallResult get_sizes(Task& t, uint32_t flags, uint64_t args) {
  if (flags) return Err(EINVAL);
  const seccomp_notif_sizes sizes = {.seccomp_notif = sizeof(seccomp_notif),
                                     .seccomp_notif_resp = sizeof(seccomp_notif_resp),
                                     .seccomp_data = sizeof(seccomp_data)};
  TRY(t.mem().put(UserPtr<seccomp_notif_sizes>{args}, sizes));
  return 0;
}

}  // namespace

SyscallResult set_seccomp_mode(Task& t, uint64_t mode, uint64_t args) {
  switch (mode) {
    case SECCOMP_MODE_STRICT: return set_strict(t, 0, 0);
    case SECCOMP_MODE_FILTER: return set_filter(t, 0, args);
    default: return Err(EINVAL);
  }
}

SyscallResult seccomp(Task& t, uint32_t operation, uint32_t flags, uint64_t args) {
  switch (operation) {
    case SECCOMP_SET_MODE_STRICT: return set_strict(t, flags, args);
    case SECCOMP_SET_MODE_FILTER: return set_filter(t, flags, args);
    case SECCOMP_GET_ACTION_AVAIL: return get_action(t, flags, args);
    case SECCOMP_GET_NOTIF_SIZES: return get_sizes(t, flags, args);
    default: return Err(EINVAL);
  }
}

}  // namespace usk::sys
