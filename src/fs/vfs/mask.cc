#include "fs/vfs/mask.h"

namespace usk {

Result<Path> walk_to_mask(const WalkContext& ctx, const Path& place) {
  const auto mask = installed_guard ? installed_guard->mask_of(place) : std::nullopt;
  if (!mask) return Path();
  return walk(ctx, ctx.mounts->root(), *mask, kFollow);
}

}  // namespace usk
