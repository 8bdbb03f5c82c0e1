#include "host/host_fd.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include "host/call.h"
#include "host/open.h"

namespace usk {

void host::close_descriptor(int fd) { (void)guarded(SYS_close, fd); }

Result<Ref<HostFd>> HostFd::readonly() {
  const long flags = host::guarded(SYS_fcntl, get(), F_GETFL, 0);
  if (flags < 0) return Err(errno);
  if ((flags & O_ACCMODE) == O_RDONLY) return Ref<HostFd>::share(this);
  Lock lock(mu_);
  if (!readonly_) readonly_ = make_ref<HostFd>(TRY(host::reopen(get(), O_RDONLY)));
  return readonly_;
}

}  // namespace usk
