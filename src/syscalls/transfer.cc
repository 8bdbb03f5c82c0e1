// sendfile(2), splice(2), tee(2), vmsplice(2), copy_file_range(2).
#include <fcntl.h>

#include <algorithm>

#include "fs/pipe/pipe_file.h"
#include "fs/vfs/bounce.h"
#include "kernel/signal/send.h"
#include "kernel/wait/block_on.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

constexpr uint64_t kMaxRw = 0x7ffff000;  // Linux: MAX_RW_COUNT
constexpr size_t kChunk = 64 << 10;

void send_sigpipe(Task& t) {
  Lock lock(task_mutex);
  siginfo_t info = user_siginfo(SIGPIPE, SI_USER, t.tgid(), t.creds->uid);
  (void)send_signal(t, info, SignalScope::kTask);
}

SyscallResult with_sigpipe(Task& t, SyscallResult r) {
  if (!r && r.error() == Errno(EPIPE)) send_sigpipe(t);
  return r;
}

// Where one side of a transfer stands: at an offset that the guest keeps, at the file's own
// position, or nowhere (a stream).
class Cursor {
 public:
  // `addr`: the guest's offset, or null.
  static Result<Cursor> make(Task& t, Ref<File> file, uint64_t addr) {
    Cursor c;
    c.file_ = std::move(file);
    c.addr_ = addr;
    if (addr) {
      if (!c.file_->can(File::kPread)) return Err(ESPIPE);
      const int64_t at = TRY(t.mem().get(UserPtr<const int64_t>{addr}));
      if (at < 0) return Err(EINVAL);
      c.pos_ = uint64_t(at);
    } else if (c.file_->can(File::kSeek)) {
      c.pos_ = TRY(c.file_->seek(0, SEEK_CUR));  // The host's, of a descriptor of the host.
    }
    return c;
  }

  File& file() const { return *file_; }
  const Ref<File>& ref() const { return file_; }
  bool seekable() const { return addr_ || file_->can(File::kSeek); }
  uint64_t pos() const { return pos_; }
  void advance(uint64_t n) { pos_ += n; }

  // Reads at the cursor without moving it.
  Result<size_t> peek(std::span<std::byte> dst) const {
    uint64_t pos = pos_;
    KernelOut out(dst);
    return file_->read(out, pos);
  }
  // Writes at the cursor and moves it.
  Result<size_t> write(std::span<const std::byte> src) {
    KernelIn in(src);
    return file_->write(in, pos_);
  }
  // Makes the guest's offset, or the file's position, what the cursor has become.
  Result<void> store(Task& t) const {
    if (addr_) return t.mem().put(UserPtr<int64_t>{addr_}, int64_t(pos_));
    if (file_->can(File::kSeek)) TRY(file_->seek(int64_t(pos_), SEEK_SET));
    return {};
  }

 private:
  Ref<File> file_;
  uint64_t addr_ = 0, pos_ = 0;
};

// Moves up to `length` bytes from a seekable file: what the other end does not take stays.
Result<size_t> pump(Task& t, Cursor& from, Cursor& to, uint64_t length) {
  size_t done = 0;
  while (done < length) {
    std::vector<std::byte> bytes(std::min<uint64_t>(kChunk, length - done));
    Result<size_t> got = from.peek(bytes);
    if (!got && done == 0) return got;
    if (!got || *got == 0) break;
    Result<size_t> put = to.write(std::span(bytes).first(*got));
    if (!put && done == 0) return put;
    if (!put) break;
    from.advance(*put);
    done += *put;
    if (*put < *got || t.interrupted) break;
  }
  return done;
}

}  // namespace

SyscallResult sendfile(Task& t, Fd out, Fd in, uint64_t offset, uint64_t count) {
  Ref<File> from_file = TRY(t.file(in.n)), to_file = TRY(t.file(out.n));
  if (!from_file->can(File::kRead) || !to_file->can(File::kWrite)) return Err(EBADF);
  if (offset && !from_file->can(File::kPread)) return Err(ESPIPE);
  if (!from_file->can(File::kPread)) return Err(EINVAL);
  if (from_file->inode().is_dir()) return Err(EINVAL);
  if (to_file->flags() & O_APPEND) return Err(EINVAL);
  Cursor from = TRY(Cursor::make(t, from_file, offset));
  Cursor to = TRY(Cursor::make(t, to_file, 0));
  auto op = [&]() -> Result<size_t> { return pump(t, from, to, std::min(count, kMaxRw)); };
  auto r = block_on(t, *to_file, POLLOUT, op, to_file->nonblocking());
  if (r && std::holds_alternative<int64_t>(r->v_)) {
    TRY(to.store(t));
    TRY(from.store(t));
    const uint64_t n = uint64_t(std::get<int64_t>(r->v_));
    t.usage.read_chars += n, t.usage.written_chars += n;
    t.usage.reads++, t.usage.writes++;
  }
  return with_sigpipe(t, std::move(r));
}

SyscallResult copy_file_range(Task& t, Fd in, uint64_t in_offset, Fd out, uint64_t out_offset,
                              uint64_t length, uint32_t flags) {
  if (flags) return Err(EINVAL);
  Ref<File> from_file = TRY(t.file(in.n)), to_file = TRY(t.file(out.n));
  Cursor from = TRY(Cursor::make(t, from_file, in_offset));
  Cursor to = TRY(Cursor::make(t, to_file, out_offset));
  if (!from_file->can(File::kRead) || !to_file->can(File::kWrite)) return Err(EBADF);
  if (to_file->flags() & O_APPEND) return Err(EBADF);
  if (from_file->inode().is_dir() || to_file->inode().is_dir()) return Err(EISDIR);
  if (!from_file->inode().is_regular() || !to_file->inode().is_regular()) return Err(EINVAL);
  length = std::min(length, kMaxRw);
  if (&from_file->inode() == &to_file->inode()) {
    const uint64_t a = from.pos(), b = to.pos();
    if (std::max(a, b) - std::min(a, b) < length) return Err(EINVAL);
  }
  const size_t done = TRY(pump(t, from, to, length));
  TRY(from.store(t));
  TRY(to.store(t));
  return int64_t(done);
}

namespace {

Pipe* pipe_of(File& file) {
  auto* end = dynamic_cast<PipeFile*>(&file);
  return end ? &end->pipe() : nullptr;
}

constexpr uint32_t kSpliceFlags = 1 | 2 | 4 | 8;  // SPLICE_F_MOVE, NONBLOCK, MORE, GIFT
constexpr uint32_t kSpliceNonblock = 2;

// From a file into a pipe. A stream's bytes are only taken when they fit.
Result<size_t> into_pipe(Cursor& from, File& pipe_end, uint64_t length) {
  size_t done = 0;
  while (done < length) {
    if (!(pipe_end.poll() & (POLLOUT | POLLERR))) break;
    const uint64_t most = from.seekable() ? kChunk : PipePage::kSize;
    std::vector<std::byte> bytes(std::min(most, length - done));
    Result<size_t> got = from.peek(bytes);
    if (!got && done == 0) return got;
    if (!got || *got == 0) return done;
    KernelIn in{std::span(bytes).first(*got)};
    uint64_t unused = 0;
    Result<size_t> put = pipe_end.write(in, unused);
    if (!put && done == 0) return put;
    if (!put) break;
    from.advance(*put);
    done += *put;
    if (*put < *got || !from.seekable()) break;
  }
  if (done == 0 && length > 0) return Err(EAGAIN);
  return done;
}

// From a pipe into a file. The bytes are shared with a pipe of our own first, so that only what
// the file took is taken out.
Result<size_t> out_of_pipe(Pipe& pipe, Cursor& to, uint64_t length) {
  size_t done = 0;
  while (done < length) {
    auto peeked = make_ref<Pipe>();
    peeked->add_end(true, true);
    Result<size_t> shared = peeked->tee_from(pipe, std::min<uint64_t>(kChunk, length - done));
    if (!shared && done == 0) return shared;
    if (!shared || *shared == 0) break;
    std::vector<std::byte> bytes(*shared);
    KernelOut out(bytes);
    TRY(peeked->read(out));
    Result<size_t> put = to.write(bytes);
    if (!put && done == 0) return put;
    if (!put) break;
    KernelOut taken{std::span(bytes).first(*put)};
    if (*put) TRY(pipe.read(taken));
    done += *put;
    if (*put < bytes.size()) break;
  }
  return done;
}

}  // namespace

SyscallResult splice(Task& t, Fd in, uint64_t in_offset, Fd out, uint64_t out_offset,
                     uint64_t length, uint32_t flags) {
  if (flags & ~kSpliceFlags) return Err(EINVAL);
  if (length == 0) return 0;
  Ref<File> from = TRY(t.file(in.n)), to = TRY(t.file(out.n));
  if (!from->can(File::kRead) || !to->can(File::kWrite)) return Err(EBADF);
  Pipe* from_pipe = pipe_of(*from);
  Pipe* to_pipe = pipe_of(*to);
  if ((from_pipe && in_offset) || (to_pipe && out_offset)) return Err(ESPIPE);
  if (!from_pipe && !to_pipe) return Err(EINVAL);
  length = std::min(length, kMaxRw);
  const bool nonblocking = flags & kSpliceNonblock;
  if (from_pipe && to_pipe) {
    if (from_pipe == to_pipe) return Err(EINVAL);
    // Either may be what it waits for.
    auto op = [&] { return to_pipe->splice_from(*from_pipe, length); };
    t.waits().add(to->queue(), POLLOUT, to);
    return with_sigpipe(
        t, block_on(t, *from, POLLIN, op, nonblocking || from->nonblocking() || to->nonblocking()));
  }
  if (to_pipe) {
    Cursor c = TRY(Cursor::make(t, from, in_offset));
    auto op = [&]() -> Result<size_t> {
      const size_t n = TRY(into_pipe(c, *to, length));
      TRY(c.store(t));
      return n;
    };
    const bool room = to->poll() & (POLLOUT | POLLERR);
    File& waits_for = room ? *from : *to;
    return with_sigpipe(t, block_on(t, waits_for, room ? POLLIN : POLLOUT, op,
                                    nonblocking || waits_for.nonblocking()));
  }
  if (to->flags() & O_APPEND) return Err(EINVAL);
  Cursor c = TRY(Cursor::make(t, to, out_offset));
  auto op = [&]() -> Result<size_t> {
    const size_t n = TRY(out_of_pipe(*from_pipe, c, length));
    TRY(c.store(t));
    return n;
  };
  const bool empty = !(from->poll() & (POLLIN | POLLHUP));
  File& waits_for = empty ? *from : *to;
  return with_sigpipe(t, block_on(t, waits_for, empty ? POLLIN : POLLOUT, op,
                                  nonblocking || waits_for.nonblocking()));
}

SyscallResult tee(Task& t, Fd in, Fd out, uint64_t length, uint32_t flags) {
  if (flags & ~kSpliceFlags) return Err(EINVAL);
  if (length == 0) return 0;
  Ref<File> from = TRY(t.file(in.n)), to = TRY(t.file(out.n));
  if (!from->can(File::kRead) || !to->can(File::kWrite)) return Err(EBADF);
  Pipe* from_pipe = pipe_of(*from);
  Pipe* to_pipe = pipe_of(*to);
  if (!from_pipe || !to_pipe || from_pipe == to_pipe) return Err(EINVAL);
  auto op = [&] { return to_pipe->tee_from(*from_pipe, std::min(length, kMaxRw)); };
  t.waits().add(to->queue(), POLLOUT, to);
  return with_sigpipe(
      t, block_on(t, *from, POLLIN, op, (flags & kSpliceNonblock) || from->nonblocking()));
}

// Linux shares the caller's pages with the pipe; here they are copied, which only who changes
// them afterwards could tell.
SyscallResult vmsplice(Task& t, Fd fd, UserIov iov, uint32_t flags) {
  if (flags & ~kSpliceFlags) return Err(EINVAL);
  Ref<File> file = TRY(t.file(fd.n));
  if (!pipe_of(*file)) return Err(EBADF);
  UserMemory mem = t.mem();
  const UserBuffers buffers = TRY(get_iovecs(mem, iov));
  if (buffers.total() == 0) return 0;
  const bool nonblocking = (flags & kSpliceNonblock) || file->nonblocking();
  uint64_t unused = 0;
  if (file->can(File::kWrite)) {
    auto op = [&]() -> Result<size_t> {
      GuestIn src(t.mem(), buffers);
      return file->write(src, unused);
    };
    return with_sigpipe(t, block_on(t, *file, POLLOUT, op, nonblocking));
  }
  auto op = [&]() -> Result<size_t> {
    GuestOut dst(t.mem(), buffers);
    return file->read(dst, unused);
  };
  return block_on(t, *file, POLLIN, op, nonblocking);
}

}  // namespace usk::sys
