#include "boot/stdio.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>

#include "fs/hostio/host_stream.h"
#include "host/file_io.h"
#include "host/stream.h"

namespace usk {

namespace {

// One of this process's own: the guest's console if it is the terminal, or else a stream.
Result<Ref<File>> own_stream(const StdStreams& s, int fd, const WalkContext& ctx) {
  UniqueFd own = TRY(host::take_stream(fd));
  if (!s.terminal || !s.terminal->is(fd)) return HostStream::make(s.poller, std::move(own), ctx.creds);
  const int flags = TRY(host::status_flags(fd)) & (O_ACCMODE | O_APPEND | O_NONBLOCK);
  const Path console = TRY(walk(ctx, ctx.root, "/dev/console", kFollow));
  return console.inode().open(console, flags, ctx.creds);
}

Result<Ref<File>> passed_stream(const StdStreams& s, int fd, const WalkContext& ctx) {
  const Ref<HostFd>& given = s.passed[size_t(fd)];
  if (!given) return Err(EBADF);
  return HostStream::make(s.poller, TRY(host::duplicate(given->get())), ctx.creds);
}

}  // namespace

OrFailure<void> install_stdio(const StdStreams& s, FdTable& fds, const WalkContext& ctx) {
  for (int fd = 0; fd < 3; fd++) {
    auto file = s.is_passed() ? passed_stream(s, fd, ctx) : own_stream(s, fd, ctx);
    if (failed_with(file, EBADF)) continue;  // Closed outside, closed inside.
    if (!file) return fail(fmt::format("standard stream {}: {}", fd, strerror(int(file.error()))));
    if (!fds.replace(fd, std::move(*file), false, 1024)) {
      return fail("cannot install the standard streams");
    }
    // Messages of our own still go to standard error.
    if (!s.is_passed() && fd != 2) host::replace_with_null(fd);
  }
  return {};
}

}  // namespace usk
