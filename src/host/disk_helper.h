// A process beside this one that waits for the disk in its place: fsync(2) of a large file takes as
// long as hundreds of steps of the kernel's loop.
#pragma once
#include <sys/types.h>

#include <span>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

class DiskHelper {
 public:
  // Before the process is confined, and while it has one thread. The helper gets no files but those
  // that it is sent, and ends with this process.
  static Result<DiskHelper> start();
  ~DiskHelper();
  DiskHelper(DiskHelper&&) noexcept = default;

  enum class Wish : char {
    kSync = 's',  // Brings the files to the disk, one after the other, then lets go of them.
    kHold = 'h',  // Lets go of them: what a file that has no name any more holds goes with its last
                  // descriptor, which takes time as well.
  };
  // Of at most eight files, which may be closed here at once. EAGAIN: too many wishes.
  Result<void> ask(Wish wish, std::span<const int> files);
  // Readable when the answer to kSync is there. EAGAIN: not yet; EPIPE: the helper is gone.
  int fd() const { return near_.get(); }
  Result<void> answer();

 private:
  DiskHelper(UniqueFd near, pid_t pid) : near_(std::move(near)), pid_(pid) {}
  UniqueFd near_;
  pid_t pid_;
};

}  // namespace usk::host
