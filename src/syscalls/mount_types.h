// The file systems that the guest may mount: /proc/filesystems.
#pragma once
#include <string_view>

#include "fs/vfs/mount.h"
#include "kernel/task/task.h"

namespace usk {

// A fresh one for the caller. ENODEV for an unknown type, EINVAL for bad options.
Result<FsTree> make_file_system(Task& t, std::string_view type, std::string_view options);

// Whether such a file system knows one option, "key=value" or "key". ENODEV, EINVAL.
Result<void> check_file_system_option(Task& t, std::string_view type, std::string_view option);

}  // namespace usk
