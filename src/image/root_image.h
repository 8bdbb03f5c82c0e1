// --root of anything but a plain directory.
#pragma once
#include <optional>
#include <string>

#include "base/failure.h"
#include "fs/vfs/mount.h"
#include "image/oci.h"

namespace usk {

struct RootImage {
  FsTree tree;                        // Does not change.
  std::optional<ImageConfig> config;  // Of an OCI image.
};

// What `path` is: a tar archive; an OCI image layout, as a directory or as a tar archive of it;
// with ":NAME" behind it when it holds several images. Nothing: a plain directory.
OrFailure<std::optional<RootImage>> load_root_image(const std::string& path);

// The path alone, without a name behind it.
std::string image_place(const std::string& path);
// Loads the libraries that load_root_image() will need, as long as code can be mapped.
void load_image_libraries(const std::string& path);

}  // namespace usk
