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

// What flags name by descriptors (/dev/fd/3, a shell's <(...)) gets its own name, which holds when
// those are closed; what has none is refused.
OrFailure<void> name_host_places(SandboxConfig& config);

// A place of the host that the sandbox is to see, and how.
struct HostPlace {
  std::string path;
  bool writable = false;
};
// All that build_root() and load_root_image() will open.
std::vector<HostPlace> host_places(const SandboxConfig& config);

}  // namespace usk
