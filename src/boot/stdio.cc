#include "boot/stdio.h"

#include <fmt/format.h>
#include <string.h>

#include "fs/hostio/host_stream.h"
#include "host/stream.h"

namespace usk {

OrFailure<void> install_stdio(std::shared_ptr<HostPoller> poller, FdTable& fds,
                              Ref<const Creds> creds) {
  for (int fd = 0; fd < 3; fd++) {
    auto own = host::take_stream(fd);
    if (failed_with(own, EBADF)) continue;  // Closed outside, closed inside.
    auto file = own ? HostStream::make(poller, std::move(*own), creds)
                    : Result<Ref<File>>(Err(int(own.error())));
    if (!file) return fail(fmt::format("standard stream {}: {}", fd, strerror(int(file.error()))));
    if (!fds.replace(fd, std::move(*file), false, 1024)) {
      return fail("cannot install the standard streams");
    }
    // Messages of our own still go to standard error.
    if (fd != 2) host::replace_with_null(fd);
  }
  return {};
}

}  // namespace usk
