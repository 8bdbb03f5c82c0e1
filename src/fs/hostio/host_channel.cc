#include "fs/hostio/host_channel.h"

#include <cstring>

#include "fs/hostio/host_stream.h"
#include "fs/vfs/saving.h"
#include "host/file.h"
#include "host/open.h"
#include "host/stream.h"

namespace usk {

USK_SAVED(HostChannel, "fs/hostio/channel")
USK_SAVED(HostStreamInode, "fs/hostio/inode")

HostChannel::HostChannel(std::shared_ptr<HostPoller> poller, UniqueFd fd, uint32_t type, int flags,
                         std::string role)
    : poller_(std::move(poller)), type_(type), flags_(flags), role_(std::move(role)) {
  take(std::move(fd));
}

void HostChannel::take(UniqueFd fd) {
  fd_ = make_ref<HostFd>(std::move(fd));
  seekable_ = host::seek_shared(fd_->get(), 0, SEEK_CUR).has_value();
  can_poll_ = poller_->watch(fd_->get(), queue_, 0).has_value();
  // The host tells of hang-ups unasked, and nobody waits for one yet.
  if (can_poll_) poller_->forget(fd_->get());
}

HostChannel::~HostChannel() {
  if (fd_) poller_->forget(fd());
}

OrFailure<void> HostChannel::restored(state::Restored& r) {
  HostStreams* streams = TRY(r.get<HostStreams>());
  poller_ = streams->poller;
  UniqueFd fd = TRY(streams->open(role_));
  if (reopened_) {
    auto own = host::reopen(fd.get(), *reopened_);
    if (!own) return fail(fmt::format("{}: {}", role_, strerror(int(own.error()))));
    fd = std::move(*own);
  }
  const auto st = host::stat_of(fd.get());
  const auto flags = host::status_flags(fd.get());
  if (!st || !flags) return fail(role_ + ": it cannot be used");
  is_gone_ = role_.empty();
  if (!is_gone_) type_ = st->st_mode & S_IFMT;
  if (!is_gone_) flags_ = *flags & (O_ACCMODE | O_APPEND | O_NONBLOCK);
  take(std::move(fd));
  return {};
}

OrFailure<void> HostStreamInode::restored(state::Restored& r) {
  TRY(Inode::restored(r));
  if (!channel_) return fail("no descriptor");
  poller_ = TRY(r.get<HostStreams>())->poller;
  return {};
}

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
  auto channel =
      make_ref<HostChannel>(poller_, std::move(own), type(), want | kept, channel_->role());
  channel->set_reopened(host_flags & ~O_TRUNC);
  return make_ref<HostStream>(std::move(path), flags | kept, std::move(creds), std::move(channel));
}

}  // namespace usk
