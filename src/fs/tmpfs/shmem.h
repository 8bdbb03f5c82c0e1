// Memory without a name that several may share: what memfd_create(2), System V segments and shared
// anonymous mappings are made of. Linux's internal mount of shmem.
#pragma once
#include "fs/mem/mem_regular.h"
#include "fs/vfs/mount.h"

namespace usk {

// A tmpfs that nobody sees, without limits of its own. Null: it could not be made.
const Ref<Mount>& shmem_mount();

// A regular file in it, opened for reading and writing. `shown` is its path in /proc. ENOMEM.
Result<Ref<MemFile>> make_shmem_file(std::string shown, uint32_t mode, Ref<const Creds> creds);

// The file behind a shared anonymous mapping of `length` bytes: mmap(2). ENOMEM.
Result<Ref<File>> make_shared_memory(uint64_t length, Ref<const Creds> creds);

}  // namespace usk
