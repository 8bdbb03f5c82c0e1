// getrlimit(2), setrlimit(2), prlimit(2), umask(2), sysinfo(2), getrandom(2), getcpu(2).
#include <linux/capability.h>
#include <sched.h>
#include <sys/random.h>

#include "host/machine.h"
#include "host/random.h"
#include "kernel/kernel.h"
#include "kernel/task/access.h"
#include "kernel/time/posix_timers.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

constexpr uint64_t kNrOpen = 1048576;  // /proc/sys/fs/nr_open

Result<void> set_limit(Task& t, ThreadGroup& g, int resource, const rlimit64& next)
    REQUIRES(task_mutex) {
  if (next.rlim_cur > next.rlim_max) return Err(EINVAL);
  rlimit64& limit = g.limits[size_t(resource)];
  if (resource == RLIMIT_NOFILE && next.rlim_max > kNrOpen) return Err(EPERM);
  if (next.rlim_max > limit.rlim_max && !t.capable(CAP_SYS_RESOURCE)) return Err(EPERM);
  limit = next;
  return {};
}

}  // namespace

SyscallResult prlimit64(Task& t, PidNr pid, int32_t resource, UserPtr<const rlimit64> limit,
                        UserPtr<rlimit64> old) {
  if (resource < 0 || resource >= RLIM_NLIMITS) return Err(EINVAL);
  std::optional<rlimit64> next;
  if (limit) next = TRY(t.mem().get(limit));
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  rlimit64 was;
  {
    Lock lock(task_mutex);
    const Creds &a = *t.creds, &b = *who->creds;
    const bool same = a.uid == b.uid && a.uid == b.euid && a.uid == b.suid && a.gid == b.gid &&
                      a.gid == b.egid && a.gid == b.sgid;
    if (who->group.get() != t.group.get() && !same && !a.capable(CAP_SYS_RESOURCE, *b.user_ns)) {
      return Err(EPERM);
    }
    was = who->group->limits[size_t(resource)];
    if (next) TRY(set_limit(t, *who->group, resource, *next));
  }
  if (next && resource == RLIMIT_CPU) {
    who->group->timers->set_cpu_limit(next->rlim_cur, next->rlim_max);
  }
  if (old) TRY(t.mem().put(old, was));
  return 0;
}

SyscallResult getrlimit(Task& t, int32_t resource, UserPtr<rlimit64> limit) {
  return prlimit64(t, {0}, resource, {}, limit);
}

SyscallResult setrlimit(Task& t, int32_t resource, UserPtr<const rlimit64> limit) {
  if (!limit) return Err(EFAULT);
  return prlimit64(t, {0}, resource, limit, {});
}

SyscallResult umask(Task& t, ModeBits mask) { return t.fs->set_umask(mask.bits & 0777); }

SyscallResult sysinfo(Task& t, UserPtr<struct sysinfo> info) {
  const host::Machine m = host::machine();
  struct sysinfo s{};
  s.uptime = t.kernel.time.monotonic() / kNsPerSecond;
  s.totalram = std::min(m.memory_total, t.kernel.options().memory_limit);
  s.freeram = std::min(m.memory_free, s.totalram);
  {
    Lock lock(task_mutex);
    s.procs = uint16_t(std::min<size_t>(t.kernel.task_count(), UINT16_MAX));
  }
  t.kernel.count_active();
  for (size_t i = 0; i < 3; i++) s.loads[i] = (unsigned long)(t.kernel.load.values()[i] * 65536);
  s.mem_unit = 1;
  TRY(t.mem().put(info, s));
  return 0;
}

SyscallResult getrandom(Task& t, UserOut buf, uint32_t flags) {
  constexpr uint32_t kInsecure = 4;
  if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | kInsecure)) return Err(EINVAL);
  if ((flags & GRND_RANDOM) && (flags & kInsecure)) return Err(EINVAL);
  GuestOut out = t.out(buf);
  size_t done = 0;
  while (out.size() > 0) {
    std::byte chunk[4096];
    const std::span bytes(chunk, std::min(out.size(), sizeof chunk));
    host::fill_random(bytes);
    auto n = out.put(bytes);
    if (!n) {
      if (done) break;
      return std::unexpected(n.error());
    }
    done += *n;
    if (*n < bytes.size()) break;
  }
  return done;
}

SyscallResult getcpu(Task& t, UserPtr<uint32_t> cpu, UserPtr<uint32_t> node) {
  // The host keeps the processor's number in a registered rseq(2) area; else the first one that
  // the thread may use is as good an answer as any that is already past.
  uint32_t n = 0;
  constexpr uint64_t kCpuId = 4;
  if (t.rseq.addr) {
    n = TRY(t.mem().get(UserPtr<const uint32_t>{t.rseq.addr + kCpuId}));
  } else {
    while (n < 1023 && !CPU_ISSET(n, &t.affinity)) n++;
  }
  if (cpu) TRY(t.mem().put(cpu, n));
  if (node) TRY(t.mem().put(node, 0));
  return 0;
}

}  // namespace usk::sys
