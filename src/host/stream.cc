#include "host/stream.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "host/call.h"
#include "host/poll.h"

namespace usk::host {
namespace {

Result<size_t> sized(ssize_t n) {
  if (n < 0) return Err(errno);
  return size_t(n);
}

// Whether this kind of file does not know RWF_NOWAIT.
bool unsupported(ssize_t n) { return n < 0 && (errno == EOPNOTSUPP || errno == EINVAL); }

}  // namespace

void prepare_streams() {
  signal(SIGPIPE, SIG_IGN);
  for (int fd = 0; fd < 3; fd++) {
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", O_PATH);  // Takes the lowest number.
  }
}

Result<UniqueFd> take_stream(int fd) {
  if (TRY(status_flags(fd)) & O_PATH) return Err(EBADF);
  const int own = int(guarded(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3));
  if (own < 0) return Err(errno);
  return UniqueFd(own);
}

int null_device() {
  static const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  return null.get();
}

void replace_with_null(int fd) {
  if (null_device() >= 0) (void)guarded(SYS_dup3, null_device(), fd, 0);
}

Result<struct stat> stat_of(int fd) {
  struct stat st;
  if (guarded(SYS_fstat, fd, &st) < 0) return Err(errno);
  return st;
}

Result<int> status_flags(int fd) {
  const int flags = int(guarded(SYS_fcntl, fd, F_GETFL, 0));
  if (flags < 0) return Err(errno);
  return flags;
}

uint32_t poll_now(int fd, uint32_t events) {
  pollfd p{fd, short(events), 0};
  return poll_ms(std::span(&p, 1), 0) > 0 ? uint32_t(uint16_t(p.revents)) : 0;
}

Result<size_t> read_nowait(int fd, std::span<std::byte> dst) {
  iovec v{dst.data(), dst.size()};
  ssize_t n = guarded_vector(SYS_preadv2, fd, v, -1, RWF_NOWAIT);
  if (!unsupported(n)) return sized(n);
  if (!poll_now(fd, POLLIN)) return Err(EAGAIN);
  return sized(guarded(SYS_read, fd, dst.data(), dst.size()));
}

Result<size_t> write_nowait(int fd, std::span<const std::byte> src) {
  iovec v{const_cast<std::byte*>(src.data()), src.size()};
  ssize_t n = guarded_vector(SYS_pwritev2, fd, v, -1, RWF_NOWAIT);
  if (!unsupported(n)) return sized(n);
  if (!poll_now(fd, POLLOUT)) return Err(EAGAIN);
  // A pipe that is writable takes this much without waiting.
  return sized(guarded(SYS_write, fd, src.data(), std::min<size_t>(src.size(), PIPE_BUF)));
}

Result<uint64_t> seek_shared(int fd, int64_t offset, int whence) {
  const off_t at = guarded(SYS_lseek, fd, offset, whence);
  if (at < 0) return Err(errno);
  return uint64_t(at);
}

Result<int> readable_bytes(int fd) {
  int n = 0;
  if (guarded(SYS_ioctl, fd, FIONREAD, &n) < 0) return Err(errno);
  return n;
}

}  // namespace usk::host
