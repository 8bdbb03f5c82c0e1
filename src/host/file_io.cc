#include "host/file_io.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

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
  return sized(::pread(fd, dst.data(), dst.size(), off_t(offset)));
}

Result<size_t> pwrite(int fd, std::span<const std::byte> src, uint64_t offset) {
  return sized(::pwrite(fd, src.data(), src.size(), off_t(offset)));
}

Result<size_t> read(int fd, std::span<std::byte> dst) {
  return sized(::read(fd, dst.data(), dst.size()));
}

Result<size_t> write(int fd, std::span<const std::byte> src) {
  return sized(::write(fd, src.data(), src.size()));
}

Result<UniqueFd> open_readonly(const std::string& path) {
  return owned(open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

Result<UniqueFd> create_file(const std::string& path) {
  return owned(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
}

Result<UniqueFd> duplicate(int fd) { return owned(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

Result<UniqueFd> memory_file(const char* name, bool executable) {
#ifndef MFD_EXEC
  constexpr unsigned MFD_EXEC = 0x10u;
#endif
  int fd = -1;
  if (executable) fd = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);  // Linux 6.3 and newer.
  if (fd < 0) fd = memfd_create(name, MFD_CLOEXEC);
  return owned(fd);
}

}  // namespace usk::host
