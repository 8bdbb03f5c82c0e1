// Sandboxes that run on from an image, for usk fork and usk restore.
#pragma once
#include "base/failure.h"
#include "boot/checkpoint.h"
#include "boot/config.h"

namespace usk {

// One, in this process. The code to exit with.
int run_copy(SandboxConfig config, const RestoreRequest& request);

// Several, like commands that a shell has in the background: nothing to read, and one place to
// write to. Each is a process of its own, named NAME-1, NAME-2, ... if `config` has a name; they
// end with this one. The first code that is not 0, when all have ended.
OrFailure<int> run_copies(int copies, const SandboxConfig& config, const RestoreRequest& request);

}  // namespace usk
