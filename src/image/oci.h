// OCI image layouts: image-spec's image-layout.md, manifest.md, config.md and layer.md.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "fs/image/image_builder.h"
#include "image/blob.h"

namespace usk {

// What an image says about how it wants to be run.
struct ImageConfig {
  std::vector<std::string> env, entrypoint, command;
  std::string cwd, user;
};

// Opens a file of a layout by its path in it ("index.json"). Failures need no context.
using LayoutFiles = std::function<OrFailure<Blob>(const std::string& path)>;

// Finds the image for this machine in the layout, the one called `tag` unless that is empty, and
// puts its layers, all verified against their digests, into the tree.
OrFailure<ImageConfig> unpack_layout(const LayoutFiles& files, const std::string& tag,
                                     ImageBuilder& into);

}  // namespace usk
