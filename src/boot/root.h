// The sandbox's file tree.
#pragma once
#include "base/failure.h"
#include "boot/config.h"
#include "fs/vfs/walk.h"
#include "kernel/kernel.h"

namespace usk {

// Builds the mount namespace that `config` describes and returns a context that stands at its root.
OrFailure<WalkContext> build_root(Kernel& kernel, const SandboxConfig& config);

}  // namespace usk
