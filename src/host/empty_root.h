// Where paths lead that the kernel process gives to the host: namespaces(7), chroot(2).
#pragma once
#include "base/result.h"

namespace usk::host {

// A user namespace whose ids are those of the caller's, all of them: what privileges are left count
// for files, and no longer for the system. Only who may map ids can (CAP_SETUID, CAP_SETGID);
// nothing is changed where that fails. The process must have one thread.
Result<void> enter_user_namespace();

// Its own IPC, UTS and cgroup namespaces; EPERM without CAP_SYS_ADMIN.
Result<void> enter_namespaces();

// Root and working directory become an empty file system that cannot be written, and that nobody
// else has: in a mount namespace that has no other mount, or else by chroot(2). Descriptors that
// are held stand where they stood, in the mounts of the host, and see what is mounted there later.
// open_at() keeps the start until forget_start() (open.h).
Result<void> empty_root();

}  // namespace usk::host
