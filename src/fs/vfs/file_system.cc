#include "fs/vfs/file_system.h"

#include <sys/sysmacros.h>

#include <atomic>

namespace usk {
namespace {

// Linux gives file systems without a device numbers of major 0, from 0:1 on.
Dev next_anonymous_dev() {
  static std::atomic<uint32_t> next{20};
  return makedev(0, next++);
}

}  // namespace

Result<void> FileSystem::set_read_only(bool read_only) {
  if (read_only && writers_ > 0) return Err(EBUSY);
  read_only_ = read_only;
  return {};
}

FileSystem::FileSystem(std::string type) : type_(std::move(type)), dev_(next_anonymous_dev()) {}

}  // namespace usk
