// tar archives, plain or compressed (gzip, xz, zstd): tar(5), by libarchive.
#pragma once
#include "base/failure.h"
#include "fs/image/image_builder.h"
#include "image/blob.h"

namespace usk {

// Adds every entry of the archive to a new layer of the tree.
OrFailure<void> unpack_archive(BlobReader& blob, bool whiteouts, ImageBuilder& into);

}  // namespace usk
