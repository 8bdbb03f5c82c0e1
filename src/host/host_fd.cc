#include "host/host_fd.h"

#include <fcntl.h>

#include <cerrno>
#include <string>

namespace usk {

Result<Ref<HostFd>> HostFd::readonly() {
  const int flags = fcntl(get(), F_GETFL);
  if (flags < 0) return Err(errno);
  if ((flags & O_ACCMODE) == O_RDONLY) return Ref<HostFd>::share(this);
  Lock lock(mu_);
  if (!readonly_) {
    const std::string path = "/proc/self/fd/" + std::to_string(get());
    UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return Err(errno);
    readonly_ = make_ref<HostFd>(std::move(fd));
  }
  return readonly_;
}

}  // namespace usk
