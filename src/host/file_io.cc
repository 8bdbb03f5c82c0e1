#include "host/file_io.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "host/call.h"
#include "host/open.h"

namespace usk::host {
namespace {

Result<size_t> sized(ssize_t n) {
  if (n < 0) return Err(errno);
  return size_t(n);
}

Result<UniqueFd> owned(int fd) {
  if (fd < 0) return Err(errno);
  return UniqueFd(fd);
}

}  // namespace

Result<size_t> pread(int fd, std::span<std::byte> dst, uint64_t offset) {
  return sized(guarded(SYS_pread64, fd, dst.data(), dst.size(), off_t(offset)));
}

Result<size_t> pwrite(int fd, std::span<const std::byte> src, uint64_t offset) {
  return sized(guarded(SYS_pwrite64, fd, src.data(), src.size(), off_t(offset)));
}

Result<size_t> read(int fd, std::span<std::byte> dst) {
  return sized(guarded(SYS_read, fd, dst.data(), dst.size()));
}

Result<size_t> write(int fd, std::span<const std::byte> src) {
  return sized(guarded(SYS_write, fd, src.data(), src.size()));
}

Result<UniqueFd> open_readonly(const std::string& path) {
  return open_at(AT_FDCWD, path, O_RDONLY);
}

Result<UniqueFd> create_file(const std::string& path) {
  return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
}

Result<UniqueFd> open_log(const std::string& path) {
  return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0666);
}

Result<UniqueFd> duplicate(int fd) {
  return owned(int(guarded(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3)));
}

Result<UniqueFd> memory_file(const char* name, bool executable) {
#ifndef MFD_EXEC
  constexpr unsigned MFD_EXEC = 0x10u;
#endif
  int fd = -1;
  if (executable)
    fd = int(guarded(SYS_memfd_create, name, MFD_CLOEXEC | MFD_EXEC));  // Linux 6.3 and newer.
  if (fd < 0) fd = int(guarded(SYS_memfd_create, name, MFD_CLOEXEC));
  return owned(fd);
}

}  // namespace usk::host
