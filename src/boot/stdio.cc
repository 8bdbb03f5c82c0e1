#include "boot/stdio.h"

#include <fmt/format.h>
#include <string.h>

#include "fs/hostio/host_stream.h"
#include "fs/vfs/walk.h"
#include "host/stream.h"

namespace usk {

namespace {

// The guest's console is the terminal that `fd` is, or else a stream.
Result<Ref<File>> make_stream(const std::shared_ptr<HostPoller>& poller, HostTerminal* terminal,
                              int fd, const WalkContext& ctx) {
  UniqueFd own = TRY(host::take_stream(fd));
  if (!terminal || !terminal->is(fd)) {
    static constexpr const char* kRoles[] = {"stdin", "stdout", "stderr"};
    return HostStream::make(poller, std::move(own), ctx.creds, kRoles[fd]);
  }
  const int flags = TRY(host::status_flags(fd)) & (O_ACCMODE | O_APPEND | O_NONBLOCK);
  const Path console = TRY(walk(ctx, ctx.root, "/dev/console", kFollow));
  return console.inode().open(console, flags, ctx.creds);
}

}  // namespace

OrFailure<void> install_streams(const std::shared_ptr<HostPoller>& poller,
                                const StdStreams& streams, FdTable& fds, const WalkContext& ctx) {
  for (int fd = 0; fd < 3; fd++) {
    auto own = host::take_stream(streams[size_t(fd)]->get());
    Result<Ref<File>> file = Err(EBADF);
    if (own) file = HostStream::make(poller, std::move(*own), ctx.creds);
    if (!file) return fail(fmt::format("standard stream {} cannot be used", fd));
    if (!fds.replace(fd, std::move(*file), false, 1024)) {
      return fail("cannot install the standard streams");
    }
  }
  return {};
}

OrFailure<void> install_terminal(const RemoteTerminal& terminal, FdTable& fds,
                                 const WalkContext& ctx) {
  auto file = terminal.open(ctx.creds);
  if (!file) return fail(fmt::format("the new terminal: {}", strerror(int(file.error()))));
  for (int fd = 0; fd < 3; fd++) {
    if (!fds.replace(fd, *file, false, 1024)) return fail("cannot install the standard streams");
  }
  return {};
}

OrFailure<void> install_stdio(const std::shared_ptr<HostPoller>& poller, HostTerminal* terminal,
                              FdTable& fds, const WalkContext& ctx) {
  for (int fd = 0; fd < 3; fd++) {
    auto file = make_stream(poller, terminal, fd, ctx);
    if (failed_with(file, EBADF)) continue;  // Closed outside, closed inside.
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
