#include "fs/hostio/host_channel.h"

#include "fs/hostio/host_stream.h"
#include "host/file.h"
#include "host/stream.h"

namespace usk {

HostChannel::HostChannel(std::shared_ptr<HostPoller> poller, UniqueFd fd, uint32_t type, int flags)
    : poller_(std::move(poller)),
      fd_(make_ref<HostFd>(std::move(fd))),
      type_(type),
      flags_(flags),
      seekable_(host::seek_shared(fd_->get(), 0, SEEK_CUR).has_value()),
      can_poll_(poller_->watch(fd_->get(), queue_, 0).has_value()) {
  // The host tells of hang-ups unasked, and nobody waits for one yet.
  if (can_poll_) poller_->forget(fd_->get());
}

HostChannel::~HostChannel() { poller_->forget(fd()); }

// It was possible when the channel was made, and the descriptor is still the same.
void HostChannel::watch(PollMask events) {
  if (can_poll_) (void)poller_->watch(fd(), queue_, events);
}

HostStreamInode::HostStreamInode(Ref<FileSystem> fs, Ino ino, uint32_t mode, const Creds& owner,
                                 Ref<HostChannel> channel, std::shared_ptr<HostPoller> poller)
    : InternalInode(std::move(fs), ino, mode, owner),
      channel_(std::move(channel)),
      poller_(std::move(poller)) {}

Result<Attr> HostStreamInode::getattr() {
  Attr a = TRY(InternalInode::getattr());
  const struct stat st = TRY(host::stat_of(channel_->fd()));
  a.nlink = uint32_t(st.st_nlink);
  a.size = uint64_t(st.st_size);
  a.blocks = uint64_t(st.st_blocks);
  a.blksize = uint32_t(st.st_blksize);
  a.rdev = st.st_rdev;
  a.atime = st.st_atim;
  a.mtime = st.st_mtim;
  a.ctime = st.st_ctim;
  return a;
}

Result<void> HostStreamInode::setattr(const AttrChange& change) {
  if (!(change.set & AttrChange::kSize)) return InternalInode::setattr(change);
  if (!is_regular()) return Err(EINVAL);
  TRY(host::ftruncate(*channel_->host_fd(), change.size));
  AttrChange rest = change;
  rest.set &= ~AttrChange::kSize;
  if (rest.set == 0) return {};
  return InternalInode::setattr(rest);
}

Result<Ref<File>> HostStreamInode::open(Path path, int flags, Ref<const Creds> creds) {
  const int want = flags & O_ACCMODE, given = channel_->flags() & O_ACCMODE;
  if (given != O_RDWR && want != given) return Err(EACCES);
  if (!is_regular()) {
    return make_ref<HostStream>(std::move(path), flags, std::move(creds), channel_);
  }
  const int kept = channel_->flags() & O_APPEND;
  const int host_flags = want | kept | (flags & (O_APPEND | O_TRUNC));
  UniqueFd own = TRY(host::reopen(channel_->fd(), host_flags));
  auto channel = make_ref<HostChannel>(poller_, std::move(own), type(), want | kept);
  return make_ref<HostStream>(std::move(path), flags | kept, std::move(creds), std::move(channel));
}

}  // namespace usk
