#include "fs/hostfs/host_file.h"

#include "fs/vfs/bounce.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/notify.h"

namespace usk {

HostFile::HostFile(Path path, int flags, Ref<const Creds> creds, Ref<HostFd> fd)
    : File(std::move(path), flags, kSeek | kPread, std::move(creds)), fd_(std::move(fd)) {}

HostFile::~HostFile() {
  if (fd_) node().closed();
}

Result<size_t> HostFile::read(IoOut& dst, uint64_t& pos) {
  size_t done = 0;
  while (dst.size() > 0) {
    std::span<std::byte> buffer = bounce_buffer(dst.size());
    Result<size_t> n = host::pread(*fd_, buffer, pos);
    if (!n && done == 0) return n;
    if (!n || *n == 0) break;
    Result<size_t> put = dst.put(buffer.first(*n));
    if (!put && done == 0) return put;
    if (!put) break;
    done += *put;
    pos += *put;
    if (*put < buffer.size()) break;
  }
  if (done > 0) notify_dentry(*path().dentry, IN_ACCESS);
  return done;
}

Result<size_t> HostFile::write(IoIn& src, uint64_t& pos) {
  const bool append = flags() & O_APPEND;
  size_t done = 0;
  while (src.size() > 0) {
    std::span<std::byte> buffer = bounce_buffer(src.size());
    Result<size_t> got = src.take(buffer);
    if (!got && done == 0) return got;
    if (!got || *got == 0) break;
    const auto bytes = buffer.first(*got);
    Result<size_t> n = append ? host::pwrite_append(*fd_, bytes) : host::pwrite(*fd_, bytes, pos);
    if (!n && done == 0) return n;
    if (!n) break;
    done += *n;
    pos += *n;
    if (append) pos = TRY(host::stat_at(*fd_, "")).stx_size;
    if (*n < buffer.size()) break;
  }
  if (done > 0) notify_dentry(*path().dentry, IN_MODIFY);
  return done;
}

Result<uint64_t> HostFile::seek(int64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return File::seek(offset, whence);
  if (offset < 0) return Err(ENXIO);
  Lock lock(pos_mutex());
  // The descriptor's own position is used by nobody.
  return pos_locked() = TRY(host::lseek(*fd_, offset, whence));
}

Result<MmapBacking> HostFile::mmap(uint64_t offset, uint64_t length, int prot, int flags) {
  return MmapBacking{fd_, offset, can(kWrite)};
}

Result<void> HostFile::fsync(bool data_only) {
  if (!can(kWrite)) return {};
  return host::fsync(*fd_, data_only);
}

Result<void> HostFile::truncate(uint64_t size) {
  if (!can(kWrite)) return Err(EINVAL);
  return host::ftruncate(*fd_, size);
}

Result<void> HostFile::fallocate(int mode, uint64_t offset, uint64_t length) {
  return host::fallocate(*fd_, mode, offset, length);
}

Result<std::vector<DirEntry>> HostDirFile::list() {
  return TRY(static_cast<HostInode&>(inode()).list())->entries();
}

}  // namespace usk
