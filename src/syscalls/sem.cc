// semget(2), semop(2), semtimedop(2), semctl(2).
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/kernel.h"
#include "kernel/wait/block_on.h"
#include "state/saved.h"
#include "syscalls/syscalls.h"
#include "syscalls/time_args.h"

#ifndef SEM_STAT_ANY
#define SEM_STAT_ANY 20
#endif

namespace usk::sys {
namespace {

// The operations of a call that had to wait; they leave the queue when the call ends.
struct Waiting {
  Ref<IpcNamespace> ns;
  Ref<SemWaiter> waiter;
  ~Waiting() {
    if (waiter && ns) ns->sem.leave(*waiter);
  }
  USK_FIELDS(ns, waiter)
  OrFailure<void> restored(state::Restored&) {
    if (!ns || !waiter) return fail("a call that waits for nothing");
    return {};
  }
};
USK_SAVED(Waiting, "syscalls/sem-waiting")

Result<void> begin(Task& t, Waiting& w, int32_t id, uint64_t user_ops, uint32_t count,
                   UserPtr<const KernelTimespec> timeout) {
  w.ns = ipc_namespace(t.ns);
  if (count < 1 || id < 0) return Err(EINVAL);
  if (count > uint32_t(w.ns->sem.limits().ops)) return Err(E2BIG);
  auto ops = TRY(t.mem().get_array(UserPtr<const sembuf>{user_ops}, count));
  t.deadline(TRY(get_timeout(t, timeout)));
  uint64_t undo = 0;
  for (const sembuf& op : ops) {
    if (!(op.sem_flg & SEM_UNDO)) continue;
    Ref<SemUndo> list = sem_undo_of(t);
    list->mark_used();
    undo = list->number();
    break;
  }
  const IpcCaller who(t);
  auto waiter = make_ref<SemWaiter>(std::move(ops), who.pid, undo);
  const Result<void> done = w.ns->sem.operate(who, id, waiter);
  if (waiter->array) w.waiter = std::move(waiter);
  return done;
}

}  // namespace

SyscallResult semget(Task& t, int32_t key, int32_t count, int32_t flags) {
  return TRY(ipc_namespace(t.ns)->sem.get(IpcCaller(t), key, count, flags));
}

// Linux: never restarted after a signal, whatever SA_RESTART says (signal(7)).
SyscallResult semtimedop(Task& t, int32_t id, uint64_t ops, uint32_t count,
                         UserPtr<const KernelTimespec> timeout) {
  Waiting& w = t.extra<Waiting>();
  if (!w.ns) {
    auto done = begin(t, w, id, ops, count, timeout);
    if (done) return 0;
    if (!w.waiter) return std::unexpected(done.error());
  }
  auto look = [&]() -> Result<int> {
    TRY(w.ns->sem.outcome(*w.waiter));
    return 0;
  };
  return block_on(t, w.waiter->done, w.waiter, POLLIN, look, false, *t.frame.deadline,
                  OnSignal::kInterrupt);
}

SyscallResult semop(Task& t, int32_t id, uint64_t ops, uint32_t count) {
  return semtimedop(t, id, ops, count, {});
}

namespace {

SyscallResult sem_info_call(Task& t, SemTable& table, int32_t command, uint64_t buf) {
  const SemTable::Usage u = table.usage();
  const SemLimits l = table.limits();
  seminfo out = {};
  out.semmni = l.sets;
  out.semmns = out.semmnu = out.semmap = l.total;
  out.semmsl = l.per_set;
  out.semopm = out.semume = l.ops;
  out.semusz = command == SEM_INFO ? u.sets : 20;
  out.semvmx = SemTable::kMaxValue;
  out.semaem = command == SEM_INFO ? u.semaphores : SemTable::kMaxValue;
  TRY(t.mem().put(UserPtr<seminfo>{buf}, out));
  return u.highest_slot;
}

SyscallResult get_all(Task& t, SemTable& table, const IpcCaller& who, int32_t id, uint64_t buf) {
  const auto values = TRY(table.values(who, id));
  TRY(t.mem().copy_out(buf, std::as_bytes(std::span(values))));
  return 0;
}

SyscallResult set_all(Task& t, SemTable& table, const IpcCaller& who, int32_t id, uint64_t buf) {
  const size_t n = TRY(table.count(who, id, true));
  TRY(table.set_values(who, id, TRY(t.mem().get_array(UserPtr<const uint16_t>{buf}, n))));
  return 0;
}

}  // namespace

SyscallResult semctl(Task& t, int32_t id, int32_t number, int32_t command, uint64_t arg) {
  if (id < 0) return Err(EINVAL);
  const Ref<IpcNamespace> ns = ipc_namespace(t.ns);
  SemTable& table = ns->sem;
  const IpcCaller who(t);
  switch (command) {
    case IPC_INFO:
    case SEM_INFO: return sem_info_call(t, table, command, arg);
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY: {
      const auto s = TRY(table.stat(who, id, command != IPC_STAT, command != SEM_STAT_ANY));
      TRY(t.mem().put(UserPtr<semid_ds>{arg}, s.data));
      return command == IPC_STAT ? 0 : s.id;
    }
    case GETALL: return get_all(t, table, who, id, arg);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT: return TRY(table.query(who, t.pid_ns(), id, number, command));
    case SETALL: return set_all(t, table, who, id, arg);
    case SETVAL: TRY(table.set_value(who, id, number, int32_t(arg))); return 0;
    case IPC_SET: TRY(table.set(who, id, TRY(t.mem().get(UserPtr<const semid_ds>{arg})))); return 0;
    case IPC_RMID: TRY(table.remove(who, id)); return 0;
    default: return Err(EINVAL);
  }
}

}  // namespace usk::sys
