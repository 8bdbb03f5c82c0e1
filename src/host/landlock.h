// Landlock: which files the kernel process may touch, however it comes by their names: landlock(7).
#pragma once
#include <cstdint>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// The version that this host has; 0: none.
int landlock_version();

// Names of directories and what stat(2) tells are not kept from the process: it lists the host's
// root, of which it may touch parts.
class FileRules {
 public:
  enum Access : uint8_t {
    kRead,    // Files may be read.
    kUse,     // Read, written and shortened: devices and streams that are somebody's already.
    kChange,  // All that an owner may do.
    kKeep,    // Files in it may be made, written and removed, not read.
    kRemoveDirectories,
  };

  // What is not allowed afterwards is denied.
  static Result<FileRules> make();
  // The file `fd` stands for or, if it is a directory, all beneath. Pipes, sockets and memory files
  // need no rule: nothing happens.
  Result<void> allow(int fd, Access access);
  // From now on, for this thread and its children. The process cannot trace or (version 6) signal
  // any but those, nor (version 4) use TCP.
  Result<void> enforce();

 private:
  FileRules(UniqueFd fd, uint64_t handled) : fd_(std::move(fd)), handled_(handled) {}
  UniqueFd fd_;
  uint64_t handled_;
};

}  // namespace usk::host
