// The sandbox's file tree.
#pragma once
#include "base/failure.h"
#include "boot/config.h"
#include "fs/vfs/walk.h"
#include "image/root_image.h"
#include "kernel/kernel.h"

namespace usk {

// Builds the mount namespace that `config` describes and returns a context that stands at its root.
// `image` is what config.root holds, unless that is a plain directory.
OrFailure<WalkContext> build_root(Kernel& kernel, const SandboxConfig& config,
                                  const std::optional<RootImage>& image);

}  // namespace usk
