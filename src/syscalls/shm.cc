// shmget(2), shmat(2), shmdt(2), shmctl(2).
#include <sys/mman.h>

#include "fs/vfs/guard.h"
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/kernel.h"
#include "syscalls/syscalls.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

namespace usk::sys {
namespace {

// Linux: what is attached by address begins at a multiple of this.
constexpr uint64_t kAlign = platform::kPageSize;

Result<MapRequest> place(uint64_t addr, int32_t flags) {
  MapRequest q{.flags = MAP_SHARED};
  if (addr % kAlign) {
    if (!(flags & SHM_RND)) return Err(EINVAL);
    addr -= addr % kAlign;
    if (!addr && (flags & SHM_REMAP)) return Err(EINVAL);
    q.flags |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  } else if (addr) {
    q.flags |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  } else if (flags & SHM_REMAP) {
    return Err(EINVAL);
  }
  q.addr = addr;
  return q;
}

SyscallResult shm_info_call(Task& t, ShmTable& table, int32_t command, uint64_t buf) {
  const ShmTable::Usage u = table.usage();
  if (command == IPC_INFO) {
    const ShmLimits l = table.limits();
    shminfo out = {};
    out.shmmax = l.max;
    out.shmmin = 1;
    out.shmmni = out.shmseg = uint64_t(l.segments);
    out.shmall = l.total_pages;
    TRY(t.mem().put(UserPtr<shminfo>{buf}, out));
  } else {
    shm_info out = {};
    out.used_ids = u.segments;
    out.shm_tot = u.pages;
    out.shm_rss = u.resident_pages;
    TRY(t.mem().put(UserPtr<shm_info>{buf}, out));
  }
  return u.highest_slot;
}

}  // namespace

SyscallResult shmget(Task& t, int32_t key, uint64_t size, int32_t flags) {
  const Result<void> room = t.kernel.check_memory(t, size, PROT_WRITE, 0);
  return TRY(ipc_namespace(t.ns)->shm.get(IpcCaller(t), key, size, flags, room));
}

SyscallResult shmat(Task& t, int32_t id, uint64_t addr, int32_t flags) {
  if (id < 0) return Err(EINVAL);
  MapRequest q = TRY(place(addr, flags));
  q.prot = flags & SHM_RDONLY ? PROT_READ : PROT_READ | PROT_WRITE;
  uint32_t access = flags & SHM_RDONLY ? 0444 : 0666;
  if (flags & SHM_EXEC) {
    if (installed_guard) TRY(installed_guard->executable_memory());
    q.prot |= PROT_EXEC, access |= 0111;
  }
  const Ref<IpcNamespace> ns = ipc_namespace(t.ns);
  Ref<ShmFile> file = TRY(ns->shm.open(IpcCaller(t), ns, id, access));
  q.length = file->segment_size();
  q.file = std::move(file);
  auto r = t.mm->map(*t.cpu, q, t.memory_limits());
  if (failed_with(r, EEXIST)) return Err(EINVAL);
  return TRY(r);
}

SyscallResult shmdt(Task& t, uint64_t addr) {
  TRY(t.mm->detach(*t.cpu, addr));
  return 0;
}

SyscallResult shmctl(Task& t, int32_t id, int32_t command, uint64_t buf) {
  if (id < 0 || command < 0) return Err(EINVAL);
  const Ref<IpcNamespace> ns = ipc_namespace(t.ns);
  const IpcCaller who(t);
  switch (command) {
    case IPC_INFO:
    case SHM_INFO: return shm_info_call(t, ns->shm, command, buf);
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY: {
      const auto s =
          TRY(ns->shm.stat(who, t.pid_ns(), id, command != IPC_STAT, command != SHM_STAT_ANY));
      TRY(t.mem().put(UserPtr<shmid_ds>{buf}, s.data));
      return command == IPC_STAT ? 0 : s.id;
    }
    case IPC_SET: {
      const auto to = TRY(t.mem().get(UserPtr<const shmid_ds>{buf}));
      TRY(ns->shm.set(who, id, to));
      return 0;
    }
    case IPC_RMID: TRY(ns->shm.remove(who, id)); return 0;
    case SHM_LOCK:
    case SHM_UNLOCK:
      TRY(ns->shm.lock_in_memory(who, id, command == SHM_LOCK, t.limit(RLIMIT_MEMLOCK)));
      return 0;
    default: return Err(EINVAL);
  }
}

}  // namespace usk::sys
