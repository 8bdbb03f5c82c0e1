#include "fs/hostio/host_stream.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "fs/vfs/bounce.h"
#include "fs/vfs/caller.h"
#include "fs/vfs/saving.h"
#include "host/file.h"
#include "host/file_io.h"
#include "host/stream.h"
#include "state/singletons.h"

namespace usk {
namespace {

constexpr size_t kMostAtOnce = 64 << 10;
constexpr PollMask kReadable = POLLIN | POLLRDNORM, kWritable = POLLOUT | POLLWRNORM;

InternalFs& hostio() {
  // Never destroyed: files may outlive statics.
  static InternalFs& fs = *make_ref<InternalFs>("hostio", ANON_INODE_FS_MAGIC).release();
  return fs;
}

// What /proc/PID/fd shows; where a file lies on the host is not the guest's business.
std::string name_of(const struct stat& st) {
  if (S_ISFIFO(st.st_mode)) return fmt::format("pipe:[{}]", st.st_ino);
  if (S_ISSOCK(st.st_mode)) return fmt::format("socket:[{}]", st.st_ino);
  if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) return "/dev/null";
  return fmt::format("host:[{}]", st.st_ino);
}

uint32_t mode_bits(const HostChannel& c) {
  uint32_t bits = 0;
  if (c.seekable()) bits |= File::kSeek | File::kPread;
  if (c.can_poll()) bits |= File::kCanPoll;
  return bits;
}

}  // namespace

USK_SINGLETON(hostio, "hostio")
USK_SAVED(HostStream, "fs/hostio/stream")

OrFailure<void> HostStream::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!channel_) return fail("no descriptor");
  return {};
}

HostStream::HostStream(Path path, int flags, Ref<const Creds> creds, Ref<HostChannel> channel)
    : File(std::move(path), flags, mode_bits(*channel), std::move(creds)),
      channel_(std::move(channel)) {}

Result<Ref<File>> HostStream::make(std::shared_ptr<HostPoller> poller, UniqueFd fd,
                                   Ref<const Creds> creds, std::string role) {
  const struct stat st = TRY(host::stat_of(fd.get()));
  const int flags = TRY(host::status_flags(fd.get())) & (O_ACCMODE | O_APPEND | O_NONBLOCK);
  auto channel =
      make_ref<HostChannel>(poller, std::move(fd), st.st_mode & S_IFMT, flags, std::move(role));
  const uint32_t mode = (st.st_mode & S_IFMT) | 0600;
  auto inode = make_ref<HostStreamInode>(Ref<InternalFs>::share(&hostio()), st.st_ino, mode, *creds,
                                         channel, std::move(poller));
  Path path = internal_path(std::move(inode), name_of(st));
  return make_ref<HostStream>(std::move(path), flags, std::move(creds), std::move(channel));
}

// Whether a read or write moves the file's position, which is the host's, rather than that of a
// pread(2). Only the address is looked at.
bool HostStream::is_own_position(const uint64_t& pos) NO_THREAD_SAFETY_ANALYSIS {
  return &pos == &pos_locked();
}

Result<size_t> HostStream::read_host(std::span<std::byte> dst, const uint64_t& pos) {
  const int fd = channel_->fd();
  if (!channel_->seekable()) return host::read_nowait(fd, dst);
  return is_own_position(pos) ? host::read(fd, dst) : host::pread(fd, dst, pos);
}

Result<size_t> HostStream::read(IoOut& dst, uint64_t& pos) {
  if (dst.size() == 0) return 0;
  std::span<std::byte> buffer = bounce_buffer(std::min(dst.size(), kMostAtOnce));
  auto n = read_host(buffer, pos);
  if (failed_with(n, EAGAIN)) channel_->watch(kReadable);
  TRY(n);
  // What the guest's memory does not take is lost, as on Linux.
  const size_t put = TRY(dst.put(buffer.first(*n)));
  if (channel_->seekable()) pos += put;
  return put;
}

Result<size_t> HostStream::write_host(std::span<const std::byte> src, uint64_t& pos) {
  const int fd = channel_->fd();
  if (!channel_->seekable()) return host::write_nowait(fd, src);
  if ((flags() & O_APPEND) && !(channel_->flags() & O_APPEND) && channel_->type() == S_IFREG) {
    const size_t n = TRY(host::pwrite_append(*channel_->host_fd(), src));
    if (is_own_position(pos)) TRY(host::seek_shared(fd, 0, SEEK_END));
    return n;
  }
  return is_own_position(pos) ? host::write(fd, src) : host::pwrite(fd, src, pos);
}

Result<size_t> HostStream::write(IoIn& src, uint64_t& pos) {
  if (channel_->is_gone()) return Err(is_closed_pipe() ? EPIPE : EIO);
  size_t done = 0;
  while (src.size() > 0) {
    std::span<std::byte> buffer = bounce_buffer(std::min(src.size(), kMostAtOnce));
    auto got = src.take(buffer);
    if (!got && done == 0) return got;
    if (!got || *got == 0) break;
    auto n = write_host(buffer.first(*got), pos);
    if (failed_with(n, EAGAIN)) channel_->watch(kWritable);
    if (!n && done == 0) return n;
    if (!n) break;
    done += *n;
    if (channel_->seekable()) pos += *n;
    if (*n < buffer.size()) break;
  }
  return done;
}

Result<uint64_t> HostStream::seek(int64_t offset, int whence) {
  if (!channel_->seekable()) return Err(ESPIPE);
  Lock lock(pos_mutex());
  return pos_locked() = TRY(host::seek_shared(channel_->fd(), offset, whence));
}

// What is gone hangs up: a pipe whose other end is closed, a terminal that went away.
bool HostStream::is_closed_pipe() const {
  return channel_->type() == S_IFIFO || channel_->type() == S_IFSOCK;
}

PollMask HostStream::poll() {
  if (channel_->is_gone()) {
    if (!is_closed_pipe()) return kReadable | kWritable | POLLERR | POLLHUP;
    return (can(kRead) ? POLLHUP : 0) | (can(kWrite) ? kWritable | POLLERR : 0);
  }
  if (!channel_->can_poll()) return File::poll();
  const PollMask now = host::poll_now(
      channel_->fd(), kReadable | kWritable | POLLPRI | POLLRDHUP | POLLRDBAND | POLLWRBAND);
  if (!(now & (POLLHUP | POLLERR))) {
    PollMask missing = 0;
    if (can(kRead)) missing |= (kReadable | POLLRDHUP | POLLPRI) & ~now;
    if (can(kWrite)) missing |= kWritable & ~now;
    if (missing) channel_->watch(missing);
  }
  return now;
}

Result<int64_t> HostStream::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  if (cmd != FIONREAD) return Err(ENOTTY);
  TRY(caller.put(arg, TRY(host::readable_bytes(channel_->fd()))));
  return 0;
}

Result<MmapBacking> HostStream::mmap(uint64_t offset, uint64_t, int, int) {
  if (channel_->type() != S_IFREG) return Err(ENODEV);
  return MmapBacking{channel_->host_fd(), offset, (channel_->flags() & O_ACCMODE) == O_RDWR};
}

Result<void> HostStream::fsync(bool data_only) {
  return host::fsync(*channel_->host_fd(), data_only);
}

Result<void> HostStream::fallocate(int mode, uint64_t offset, uint64_t length) {
  if (channel_->type() == S_IFIFO) return Err(ESPIPE);
  if (channel_->type() != S_IFREG) return Err(ENODEV);
  return host::fallocate(*channel_->host_fd(), mode, offset, length);
}

}  // namespace usk
