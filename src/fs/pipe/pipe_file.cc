#include "fs/pipe/pipe_file.h"

#include <linux/magic.h>
#include <sys/ioctl.h>

#include <fmt/format.h>

#include <unordered_map>

#include "fs/vfs/caller.h"
#include "fs/vfs/saving.h"
#include "state/singletons.h"

namespace usk {
namespace {

InternalFs& pipefs() {
  // Never destroyed: files may outlive statics.
  static InternalFs& fs = *make_ref<InternalFs>("pipefs", PIPEFS_MAGIC).release();
  return fs;
}

// The inode of an unnamed pipe; /proc/PID/fd can open it again.
class PipeInode final : public InternalInode {
 public:
  PipeInode(const Creds& owner, Ref<Pipe> pipe)
      : InternalInode(Ref<InternalFs>::share(&pipefs()), S_IFIFO | 0600, owner),
        pipe_(std::move(pipe)) {}

  explicit PipeInode(Blank b) : InternalInode(b) {}
  OrFailure<void> restored(state::Restored& r) {
    TRY(Inode::restored(r));
    if (!pipe_) return fail("no pipe");
    return {};
  }

  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    return make_ref<PipeFile>(std::move(path), flags, std::move(creds), pipe_, false);
  }

  USK_FIELDS_OF(InternalInode, pipe_)

 private:
  Ref<Pipe> pipe_;
};

// The pipes of the FIFOs that are open now. Derived: every PipeFile knows its pipe and inode.
class OpenFifos {
 public:
  // The pipe of `inode`, with one more end counted by the caller's PipeFile.
  Ref<Pipe> get(Inode* inode) EXCLUDES(mu_) {
    Lock lock(mu_);
    Entry& entry = pipes_[inode];
    if (!entry.pipe) entry.pipe = make_ref<Pipe>();
    ++entry.files;
    return entry.pipe;
  }
  // A file that was open when it was saved. False: others of its FIFO share another pipe.
  bool add_loaded(Inode* inode, const Ref<Pipe>& pipe) EXCLUDES(mu_) {
    Lock lock(mu_);
    Entry& entry = pipes_[inode];
    if (!entry.pipe) entry.pipe = pipe;
    ++entry.files;
    return entry.pipe == pipe;
  }
  void put(Inode* inode) EXCLUDES(mu_) {
    Ref<Pipe> last;  // Released after the lock.
    Lock lock(mu_);
    auto it = pipes_.find(inode);
    CHECK(it != pipes_.end());
    if (--it->second.files > 0) return;
    last = std::move(it->second.pipe);
    pipes_.erase(it);
  }

 private:
  struct Entry {
    Ref<Pipe> pipe;
    int files = 0;
  };
  Mutex<Rank::kLeaf> mu_;
  std::unordered_map<Inode*, Entry> pipes_ GUARDED_BY(mu_);
};

OpenFifos& open_fifos() {
  static OpenFifos fifos;
  return fifos;
}

}  // namespace

USK_SINGLETON(pipefs, "pipefs")
USK_SAVED(PipeInode, "fs/pipe/inode")
USK_SAVED(PipeFile, "fs/pipe/file")

OrFailure<void> PipeFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!pipe_) return fail("no pipe");
  pipe_->count_loaded_end(reads(), writes());
  if (named_ && !open_fifos().add_loaded(&inode(), pipe_)) return fail("another FIFO's pipe");
  return {};
}

PipeFile::PipeFile(Path path, int flags, Ref<const Creds> creds, Ref<Pipe> pipe, bool named)
    : File(std::move(path), flags, kCanPoll, std::move(creds)),
      pipe_(std::move(pipe)),
      named_(named) {
  const Pipe::Ends ends = pipe_->add_end(reads(), writes());
  readers_seen_ = ends.readers_ever;
  // Only a reader that came before every writer is spared the hang-up (poll()).
  writers_seen_ = named && ends.writers == 0 ? ends.writers_ever : UINT64_MAX;
}

PipeFile::~PipeFile() {
  pipe_->drop_end(reads(), writes());
  if (named_) open_fifos().put(&inode());
}

Result<Ref<File>> PipeFile::finish_open(Caller& caller, int flags) {
  auto self = Ref<File>::share(this);
  if (!named_ || (reads() && writes())) return self;
  const Pipe::Ends ends = pipe_->ends();
  if (reads()) {
    const bool met = ends.writers > 0 || ends.writers_ever != writers_seen_;
    if (!met && !(flags & O_NONBLOCK)) return Err(EAGAIN);
    // Linux: a reader that waited for its writer sees it hang up.
    if (met) writers_seen_ = UINT64_MAX;
  } else if (ends.readers == 0 && ends.readers_ever == readers_seen_) {
    return Err(EAGAIN);
  }
  return self;
}

Result<size_t> PipeFile::read(IoOut& dst, uint64_t&) { return pipe_->read(dst); }

Result<size_t> PipeFile::write(IoIn& src, uint64_t&) {
  return pipe_->write(src, flags() & O_DIRECT);
}

PollMask PipeFile::poll() { return pipe_->poll(reads(), writes(), writers_seen_); }

Result<int64_t> PipeFile::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  if (cmd != FIONREAD) return Err(ENOTTY);
  TRY(caller.put(arg, int(pipe_->readable_bytes())));
  return 0;
}

std::pair<Ref<File>, Ref<File>> make_pipe(int flags, Ref<const Creds> creds) {
  auto pipe = make_ref<Pipe>();
  auto inode = make_ref<PipeInode>(*creds, pipe);
  const Path path = internal_path(inode, fmt::format("pipe:[{}]", inode->ino()));
  const int kept = flags & (O_NONBLOCK | O_DIRECT);
  return {make_ref<PipeFile>(path, O_RDONLY | (kept & O_NONBLOCK), creds, pipe, false),
          make_ref<PipeFile>(path, O_WRONLY | kept, creds, pipe, false)};
}

Result<Ref<File>> fifo_open(Inode& inode, Path path, int flags, Ref<const Creds> creds) {
  Ref<Pipe> pipe = open_fifos().get(&inode);
  const bool no_wait_write = (flags & O_ACCMODE) == O_WRONLY && (flags & O_NONBLOCK);
  if (no_wait_write && pipe->ends().readers == 0) {
    open_fifos().put(&inode);
    return Err(ENXIO);
  }
  return make_ref<PipeFile>(std::move(path), flags, std::move(creds), std::move(pipe), true);
}

}  // namespace usk
