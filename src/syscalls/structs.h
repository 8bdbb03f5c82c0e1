// Structures of the system call interface that libc spells differently from the kernel.
#pragma once
#include <cstddef>
#include <cstdint>

#include "abi/stat.h"

namespace usk {

// rt_sigaction(2)
struct KernelSigaction {
  uint64_t handler, flags, restorer, mask;
};
static_assert(sizeof(KernelSigaction) == 32);

struct KernelStack {  // sigaltstack(2)
  uint64_t addr;
  int32_t flags;
  int32_t pad;
  uint64_t size;
};
static_assert(sizeof(KernelStack) == 24);

struct SigsetArg {  // pselect6(2)'s sixth argument
  uint64_t addr, size;
};

struct KernelTimespec {
  int64_t sec, nsec;
};

struct UstatBuffer {  // ustat(2)
  int32_t free_blocks, pad;
  uint64_t free_inodes;
  char name[6], pack[6];
  char unused[4];
};
static_assert(sizeof(UstatBuffer) == 32);

struct MountIdRequest {  // statmount(2), listmount(2)
  uint32_t size, spare;
  uint64_t mount_id, param, namespace_id;
};
static_assert(sizeof(MountIdRequest) == 32);

struct StatMount {  // statmount(2); strings follow, named by their offsets behind it.
  uint32_t size, mount_options;
  uint64_t mask;
  uint32_t dev_major, dev_minor;
  uint64_t magic;
  uint32_t fs_flags, fs_type;
  uint64_t id, parent_id;
  uint32_t old_id, old_parent_id;
  uint64_t attributes, propagation, peer_group, master, propagate_from;
  uint32_t root, mountpoint;
  uint64_t namespace_id;
  uint32_t fs_subtype, source, option_count, options, security_count, security_options;
  uint64_t supported;
  uint32_t uid_maps, uid_map, gid_maps, gid_map;
  uint64_t spare[43];
};
static_assert(sizeof(StatMount) == 512);

struct CapHeader {  // capget(2)
  uint32_t version;
  int32_t pid;
};
struct CapData {
  uint32_t effective, permitted, inheritable;
};

}  // namespace usk
