// Files whose descriptors all stubs hold, so that mapping them takes no word of the kernel process.
#pragma once
#include <cstdint>
#include <map>
#include <utility>

#include "host/host_fd.h"

namespace usk::platform {

// A stub may map these privately wherever and whenever its guest wants: they are regular files with
// a name that everybody may read. Descriptors are given once and stay until the sandbox ends, so a
// mapping that is still to be made never meets another file; those that come when all are given are
// asked for.
class StubFiles {
 public:
  struct File {
    int fd;
    bool installed = false;
    // By a call that this thread has queued. Only compared.
    const void* promised_by = nullptr;
    // Such mappings have succeeded: the file system permits them.
    bool mappable = false, executable = false;
  };
  // Null: it is not for everybody, or none is left. `for_all`: it is, though it has no name.
  File* find(HostFd& file, bool for_all = false);
  // The stubs have the descriptor.
  void installed(int fd);

 private:
  std::map<std::pair<uint64_t, uint64_t>, File> files_;  // By device and inode.
};

}  // namespace usk::platform
