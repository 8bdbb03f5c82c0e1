// ipc_namespaces(7)
#pragma once
#include "kernel/ipc/msg.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/shm.h"
#include "kernel/mqueue/mqueue.h"
#include "kernel/task/namespaces.h"

namespace usk {

// The System V objects and POSIX message queues that a group of processes sees.
class IpcNamespace final : public PlainNamespace {
 public:
  // `memory`: what segments of all namespaces together may reserve.
  IpcNamespace(Ref<UserNamespace> owner, Ref<MemQuota> memory)
      : PlainNamespace(owner),
        shm(owner, memory),
        sem(owner),
        msg(owner),
        memory_(memory),
        mqueue_(make_mqueue_mount(owner)) {}
  explicit IpcNamespace(Blank b) : PlainNamespace(b), shm(b), sem(b), msg(b) {}
  const Ref<MemQuota>& memory() const { return memory_; }
  // POSIX message queues.
  const Ref<Mount>& mqueue() const { return mqueue_; }
  ShmTable shm;
  SemTable sem;
  MsgTable msg;
  USK_FIELDS_OF(PlainNamespace, shm, sem, msg, memory_, mqueue_)
  OrFailure<void> restored(state::Restored&);

 private:
  Ref<MemQuota> memory_;
  Ref<Mount> mqueue_;
};

// Namespaces::ipc is always one of these.
inline Ref<IpcNamespace> ipc_namespace(const Namespaces& ns) {
  return Ref<IpcNamespace>::share(static_cast<IpcNamespace*>(ns.ipc.get()));
}
// The first one. `memory_limit` as KernelOptions has it.
Ref<IpcNamespace> make_ipc_namespace(Ref<UserNamespace> owner, uint64_t memory_limit);

}  // namespace usk
