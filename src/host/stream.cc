#include "host/stream.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

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
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return Err(errno);
  return UniqueFd(own);
}

void replace_with_null(int fd) {
  UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null) dup2(null.get(), fd);
}

Result<struct stat> stat_of(int fd) {
  struct stat st;
  if (fstat(fd, &st) < 0) return Err(errno);
  return st;
}

Result<int> status_flags(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return Err(errno);
  return flags;
}

Result<UniqueFd> reopen(int fd, int flags) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const int own = open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY);
  if (own < 0) return Err(errno);
  return UniqueFd(own);
}

uint32_t poll_now(int fd, uint32_t events) {
  pollfd p{fd, short(events), 0};
  return ::poll(&p, 1, 0) > 0 ? uint32_t(uint16_t(p.revents)) : 0;
}

Result<size_t> read_nowait(int fd, std::span<std::byte> dst) {
  iovec v{dst.data(), dst.size()};
  ssize_t n = preadv2(fd, &v, 1, -1, RWF_NOWAIT);
  if (!unsupported(n)) return sized(n);
  if (!poll_now(fd, POLLIN)) return Err(EAGAIN);
  return sized(::read(fd, dst.data(), dst.size()));
}

Result<size_t> write_nowait(int fd, std::span<const std::byte> src) {
  iovec v{const_cast<std::byte*>(src.data()), src.size()};
  ssize_t n = pwritev2(fd, &v, 1, -1, RWF_NOWAIT);
  if (!unsupported(n)) return sized(n);
  if (!poll_now(fd, POLLOUT)) return Err(EAGAIN);
  // A pipe that is writable takes this much without waiting.
  return sized(::write(fd, src.data(), std::min<size_t>(src.size(), PIPE_BUF)));
}

Result<uint64_t> seek_shared(int fd, int64_t offset, int whence) {
  const off_t at = ::lseek(fd, offset, whence);
  if (at < 0) return Err(errno);
  return uint64_t(at);
}

Result<int> readable_bytes(int fd) {
  int n = 0;
  if (ioctl(fd, FIONREAD, &n) < 0) return Err(errno);
  return n;
}

}  // namespace usk::host
