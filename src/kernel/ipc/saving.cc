// How System V objects come back.
#include "fs/vfs/saving.h"
#include "kernel/ipc/ipc_namespace.h"

namespace usk {

USK_SAVED(IpcNamespace, "kernel/ipc/namespace")
USK_SAVED(MsgQueue, "kernel/ipc/msg-queue")
USK_SAVED(MsgReceiver, "kernel/ipc/msg-receiver")
USK_SAVED(SemArray, "kernel/ipc/sem-array")
USK_SAVED(SemWaiter, "kernel/ipc/sem-waiter")
USK_SAVED(SemUndo, "kernel/ipc/sem-undo")
USK_SAVED(ShmSegment, "kernel/ipc/shm-segment")
USK_SAVED(ShmFile, "kernel/ipc/shm-file")

OrFailure<void> IpcNamespace::restored(state::Restored&) {
  if (!owner() || !memory_ || !mqueue_) return fail("a namespace of nothing");
  TRY(shm.restore());
  TRY(sem.restore());
  return msg.restore();
}

OrFailure<void> MsgTable::restore() {
  Lock lock(mu_);
  if (!owner_ || !queues_.restore()) return fail("queues that cannot be");
  return {};
}

OrFailure<void> SemTable::restore() {
  Lock lock(mu_);
  if (!owner_ || !sets_.restore()) return fail("semaphores that cannot be");
  return {};
}

OrFailure<void> ShmTable::restore() {
  Lock lock(mu_);
  if (!owner_ || !memory_ || !segments_.restore()) return fail("segments that cannot be");
  return {};
}

OrFailure<void> MsgQueue::restored(state::Restored&) {
  uint64_t found = 0;
  for (const Message& m : messages) found += m.text.size();
  if (found != bytes) return fail("another number of bytes");
  for (const MsgReceiver* r : receivers) {
    if (!r || r->queue.get() != this || r->outcome) return fail("a receiver that is not in line");
  }
  return {};
}

OrFailure<void> SemArray::restored(state::Restored&) {
  for (const auto& [list, values] : undo) {
    if (values.size() != semaphores.size()) return fail("an undo list of another size");
  }
  for (const SemWaiter* w : waiting) {
    if (!w || w->array.get() != this || w->outcome) return fail("a call that does not wait");
  }
  return {};
}

OrFailure<void> SemWaiter::restored(state::Restored&) {
  if (!array) return {};
  if (blocking >= ops.size()) return fail("an operation that is not there");
  for (const sembuf& op : ops) {
    if (op.sem_num >= array->semaphores.size()) return fail("a semaphore that is not there");
  }
  return {};
}

OrFailure<void> SemUndo::restored(state::Restored&) {
  if (!ns_) return fail("a list of no namespace");
  return {};
}

OrFailure<void> ShmSegment::restored(state::Restored&) {
  if (!inode_ || !inode_->is_regular() || !memory_) return fail("a segment without memory");
  return {};
}

ShmFile::ShmFile(Blank b) : MemFile(b) {}

OrFailure<void> ShmFile::restored(state::Restored& r) {
  if (!ns_ || !segment_) return fail("a file of no segment");
  return MemFile::restored(r);
}

}  // namespace usk
