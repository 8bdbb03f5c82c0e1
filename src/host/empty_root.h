// Where paths lead that the kernel process gives to the host: pivot_root(2), chroot(2).
#pragma once
#include "base/result.h"

namespace usk::host {

// Root and working directory become an empty file system that cannot be written, and that nobody
// else has: in a mount namespace that has no other mount, or else by chroot(2). Descriptors that
// are held stand where they stood, in the mounts of the host, and see what is mounted there later.
// open_at() keeps the start until forget_start() (open.h).
Result<void> empty_root();

}  // namespace usk::host
