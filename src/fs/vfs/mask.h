// What a policy shows in the place of an object: `mask+PATTERN:FILE`.
#pragma once
#include "fs/vfs/walk.h"

namespace usk {

// What `place` is masked by; nothing where it is shown itself.
Result<Path> walk_to_mask(const WalkContext& ctx, const Path& place);

}  // namespace usk
