#include "fs/anon/inotify.h"

#include <fmt/format.h>
#include <sys/ioctl.h>

#include "fs/anon/inotify_queue.h"
#include "fs/vfs/caller.h"
#include "fs/vfs/dentry.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/saving.h"

namespace usk {
namespace {

constexpr uint32_t kOptions = IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE |
                              IN_MASK_ADD | IN_ISDIR | IN_ONESHOT;
constexpr uint32_t kKnown = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | kOptions;

}  // namespace

USK_SAVED(InotifyFile, "fs/anon/inotify")

OrFailure<void> InotifyFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!events_) return fail("no queue");
  return {};
}

InotifyFile::InotifyFile(int flags, Ref<const Creds> creds)
    : AnonFile("inotify", O_RDONLY | (flags & O_NONBLOCK), std::move(creds)),
      events_(make_ref<InotifyQueue>()) {}

InotifyFile::InotifyFile(Blank b) : AnonFile(b) {}

InotifyFile::~InotifyFile() { events_->close(); }

Result<int> InotifyFile::add_watch(const Path& place, uint32_t mask) {
  if (mask & ~kKnown) return Err(EINVAL);
  if (!(mask & kKnown)) return Err(EINVAL);
  if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE)) return Err(EINVAL);
  return events_->add(Ref<Inode>::share(&place.inode()), mask);
}

Result<void> InotifyFile::remove_watch(int wd) { return events_->remove(wd); }

Result<size_t> InotifyFile::read(IoOut& dst, uint64_t&) {
  size_t done = 0;
  for (;;) {
    auto event = events_->take(dst.size());
    if (!event) {
      if (done > 0) return done;
      return Err(event.error());
    }
    const std::string bytes = event->bytes();
    // Linux: an event that cannot be copied out is lost.
    auto n = dst.put(std::as_bytes(std::span(bytes)));
    if (!n || *n < bytes.size()) return Err(EFAULT);
    done += *n;
  }
}

PollMask InotifyFile::poll() { return events_->empty() ? 0 : POLLIN | POLLRDNORM; }

WaitQueue& InotifyFile::queue() { return events_->queue(); }

Result<int64_t> InotifyFile::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  if (cmd != FIONREAD) return Err(ENOTTY);
  TRY(caller.put(arg, int(events_->readable_bytes())));
  return 0;
}

std::string InotifyFile::fdinfo() const {
  std::string text;
  for (auto& watch : events_->watches()) {
    Ref<Inode> inode = watch->inode();
    if (!inode) continue;
    text +=
        fmt::format("inotify wd:{:x} ino:{:x} sdev:{:x} mask:{:x} ignored_mask:0 \n", watch->wd(),
                    inode->ino(), inode->fs().dev(), watch->mask() & uint32_t(IN_ALL_EVENTS));
  }
  return text;
}

}  // namespace usk
