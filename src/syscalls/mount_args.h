// What the old and the new mount calls share.
#pragma once
#include <linux/mount.h>

#include "syscalls/path_args.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

namespace usk::sys {

// CAP_SYS_ADMIN over the caller's mount namespace, and no policy that forbids changes of it.
bool may_mount(Task& t);

// MOUNT_ATTR_* as the MS_* bits that a mount keeps, and back. EINVAL: unknown bits.
Result<unsigned long> flags_from_attributes(uint64_t attributes);
uint64_t attributes_from_flags(unsigned long flags);

}  // namespace usk::sys
