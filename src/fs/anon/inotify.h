// inotify(7)
#pragma once
#include "fs/anon/anon_file.h"
#include "fs/vfs/path.h"

namespace usk {

class InotifyQueue;

// A queue of events of the inodes that it watches. Watches hold their inodes; they end with the
// file, on removal, or when the inode goes.
class InotifyFile final : public AnonFile {
 public:
  // Linux: fs.inotify.max_user_watches, max_queued_events; here for each file.
  static constexpr size_t kMaxWatches = 65536;
  static constexpr size_t kMaxEvents = 16384;

  InotifyFile(int flags, Ref<const Creds> creds);
  explicit InotifyFile(Blank b);
  ~InotifyFile() override;

  // inotify_add_watch(2) of the inode at `place`; the caller has resolved the path as
  // IN_DONT_FOLLOW and IN_ONLYDIR say and checked that it may be read. Returns the descriptor.
  Result<int> add_watch(const Path& place, uint32_t mask);
  // EINVAL: no such watch.
  Result<void> remove_watch(int wd);

  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  PollMask poll() override;
  WaitQueue& queue() override;
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  std::string fdinfo() const override;

  USK_FIELDS_OF(File, events_)
  OrFailure<void> restored(state::Restored& r);

 private:
  Ref<InotifyQueue> events_;
};

}  // namespace usk
