#include "fs/vfs/file_system.h"

#include <sys/sysmacros.h>

#include <atomic>

#include "base/id_counter.h"

namespace usk {
namespace {

// Linux gives file systems without a device numbers of major 0, from 0:1 on.
Dev next_anonymous_dev() {
  static IdCounter minors("anonymous device", 20);
  return makedev(0, uint32_t(minors.next()));
}

}  // namespace

Result<void> FileSystem::set_read_only(bool read_only) {
  if (read_only && writers_ > 0) return Err(EBUSY);
  read_only_ = read_only;
  return {};
}

FileSystem::FileSystem(std::string type) : type_(std::move(type)), dev_(next_anonymous_dev()) {}

}  // namespace usk
