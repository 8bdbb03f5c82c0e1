// The ends of pipes and FIFOs: pipe(2), fifo(7).
#pragma once
#include <utility>

#include "fs/pipe/pipe.h"
#include "fs/vfs/file.h"
#include "fs/vfs/internal.h"

namespace usk {

// One end of a Pipe, or both (a FIFO opened O_RDWR). Counts among the pipe's ends while it lives.
class PipeFile final : public File {
 public:
  PipeFile(Path path, int flags, Ref<const Creds> creds, Ref<Pipe> pipe, bool named);
  explicit PipeFile(Blank b) : File(b), named_(false) {}
  ~PipeFile() override;

  Pipe& pipe() const { return *pipe_; }

  // A FIFO waits until its other end was opened, once (fifo(7)).
  Result<Ref<File>> finish_open(Caller& caller, int flags) override;
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t offset, int whence) override { return Err(ESPIPE); }
  PollMask poll() override;
  WaitQueue& queue() override { return pipe_->queue(); }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  Result<void> truncate(uint64_t size) override { return Err(EINVAL); }

  USK_FIELDS_OF(File, pipe_, named_, writers_seen_, readers_seen_)
  OrFailure<void> restored(state::Restored& r);

 private:
  bool reads() const { return can(kRead); }
  bool writes() const { return can(kWrite); }

  Ref<Pipe> pipe_;
  bool named_;
  // How many of the other side had ever come when this was opened.
  uint64_t writers_seen_ = 0, readers_seen_ = 0;
};

// pipe2(2): the reading and the writing end. `flags`: O_NONBLOCK and O_DIRECT count.
std::pair<Ref<File>, Ref<File>> make_pipe(int flags, Ref<const Creds> creds);

// open(2) of a FIFO's inode; the caller goes on to finish_open(). ENXIO for
// O_WRONLY | O_NONBLOCK without a reader. All openers of one inode share a pipe.
Result<Ref<File>> fifo_open(Inode& inode, Path path, int flags, Ref<const Creds> creds);

}  // namespace usk
