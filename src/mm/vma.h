// One area of an address space: /proc/PID/maps(5), mmap(2).
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <string>

#include "base/fields.h"
#include "base/ref.h"
#include "fs/vfs/file.h"
#include "host/host_fd.h"
#include "platform/platform.h"

namespace usk {

struct Vma {
  enum Flags : uint32_t {
    kShared = 1,       // MAP_SHARED
    kGrowsDown = 2,    // MAP_GROWSDOWN, stacks
    kNoReserve = 4,    // MAP_NORESERVE
    kLocked = 8,       // mlock(2)
    kDontFork = 16,    // madvise(2): MADV_DONTFORK
    kWipeOnFork = 32,  // MADV_WIPEONFORK
    kDontDump = 64,    // MADV_DONTDUMP
    kHuge = 128,       // MADV_HUGEPAGE
    kNoHuge = 256,     // MADV_NOHUGEPAGE
    kTimePage = 1024,  // What the clocks are read with: no file, and no memory of its own.
    kAnonymous = 512,  // `file` is memory that nobody opened: shared anonymous.
  };
  uint64_t start = 0, end = 0;
  int prot = 0;      // PROT_*
  int max_prot = 0;  // What mprotect(2) may grant.
  uint32_t flags = 0;
  Ref<File> file;       // Null: private anonymous memory, or the kernel's own (`backing`).
  uint64_t offset = 0;  // In the file, of `start`.
  Ref<HostFd> backing;  // What the host maps for `file`.
  uint64_t backing_offset = 0;
  std::string name;  // "[heap]", "[stack]", "[vdso]"; PR_SET_VMA_ANON_NAME.

  uint64_t length() const { return end - start; }
  bool has(uint32_t f) const { return flags & f; }
  uint64_t pages() const { return length() / platform::kPageSize; }
  // What a write seal of the file has to wait for (memfd_create(2)).
  bool is_shared_writable() const { return file && has(kShared) && (max_prot & PROT_WRITE); }
  bool is_time_page() const { return has(kTimePage); }
  // An attachment of System V shared memory: its areas are counted, and never join.
  bool is_attachment() const { return file && file->segment_size() != 0; }
  bool private_writable() const { return (prot & PROT_WRITE) && !has(kShared); }

  USK_FIELDS(start, end, prot, max_prot, flags, file, offset, name)
};

}  // namespace usk
