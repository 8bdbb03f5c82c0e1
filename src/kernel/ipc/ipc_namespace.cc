#include "kernel/ipc/ipc_namespace.h"

#include "host/memory_size.h"

namespace usk {

Ref<IpcNamespace> make_ipc_namespace(Ref<UserNamespace> owner, uint64_t memory_limit) {
  // Linux's heuristic overcommit refuses what could never be held, too.
  const uint64_t most = std::min(memory_limit, host::physical_memory());
  return make_ref<IpcNamespace>(std::move(owner),
                                make_ref<MemQuota>(std::max<uint64_t>(most / 4096, 1), 0));
}

}  // namespace usk
