// A host descriptor that was given to the sandbox, and the inode it is seen through.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/host_poller.h"
#include "fs/vfs/internal.h"
#include "host/host_fd.h"

namespace usk {

// A service of Loader: the descriptors of the command that restores.
struct HostStreams {
  std::shared_ptr<HostPoller> poller;
  // What takes the place of the one in this role; "": of one that nobody can name.
  std::function<OrFailure<UniqueFd>(const std::string& role)> open;
};

// What all open files of one given descriptor share. The host's description is shared with
// programs outside: its flags are never changed, its position only as the guest asks.
class HostChannel final : public RefCounted {
 public:
  // `role`: as what it was given ("stdin"), by which another takes its place after a restore.
  HostChannel(std::shared_ptr<HostPoller> poller, UniqueFd fd, uint32_t type, int flags,
              std::string role);
  explicit HostChannel(Blank) : type_(0), flags_(0), seekable_(false), can_poll_(false) {}
  ~HostChannel() override;

  int fd() const { return fd_->get(); }
  const Ref<HostFd>& host_fd() const { return fd_; }
  uint32_t type() const { return type_; }  // S_IF*
  int flags() const { return flags_; }     // The host's: access mode, O_APPEND, O_NONBLOCK.
  bool seekable() const { return seekable_; }
  bool can_poll() const { return can_poll_; }
  WaitQueue& queue() { return queue_->queue; }
  // Wakes queue() once when one of `events` comes.
  void watch(PollMask events);

  const std::string& role() const { return role_; }
  // Who was at the other end did not come back with the sandbox.
  bool is_gone() const { return is_gone_; }
  // It was opened anew, with these flags, from the one in the role (open(2) of /dev/stdin).
  void set_reopened(int flags) { reopened_ = flags; }

  USK_FIELDS(role_, type_, flags_, reopened_)
  static constexpr int kRestoreStage = -1;
  OrFailure<void> restored(state::Restored& r);

 private:
  void take(UniqueFd fd);

  std::shared_ptr<HostPoller> poller_;
  Ref<SharedQueue> queue_ = make_ref<SharedQueue>();
  Ref<HostFd> fd_;
  uint32_t type_;
  int flags_;
  bool seekable_, can_poll_;
  std::string role_;
  bool is_gone_ = false;
  std::optional<int> reopened_;
};

// Shows the host's type, size and times; owner and permissions are the guest's own.
class HostStreamInode final : public InternalInode {
 public:
  HostStreamInode(Ref<FileSystem> fs, Ino ino, uint32_t mode, const Creds& owner,
                  Ref<HostChannel> channel, std::shared_ptr<HostPoller> poller);
  explicit HostStreamInode(Blank b) : InternalInode(b) {}

  Result<Attr> getattr() override;
  // The size of a regular file is the host's.
  Result<void> setattr(const AttrChange& change) override;
  // /proc/PID/fd, /dev/stdout: never more than the host's descriptor permits (EACCES). Regular
  // files get a position of their own, as on Linux.
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;

  USK_FIELDS_OF(InternalInode, channel_)
  OrFailure<void> restored(state::Restored& r);

 private:
  Ref<HostChannel> channel_;
  std::shared_ptr<HostPoller> poller_;
};

}  // namespace usk
