// Hands descriptors to stub processes: unix(7), SCM_RIGHTS.
#pragma once
#include "base/failure.h"
#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// A socket pair whose far end all stubs hold. At most one descriptor is on its way at a time.
class Channel {
 public:
  static OrFailure<Channel> make();
  int far_end() const { return far_.get(); }
  Result<void> send(int fd);
  // Takes back what was not received.
  void drain();

 private:
  UniqueFd near_, far_;
};

}  // namespace usk::host
