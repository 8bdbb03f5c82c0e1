// An open file description: open(2).
#pragma once
#include <fcntl.h>

#include <atomic>
#include <memory>

#include "base/failure.h"
#include "base/fields.h"
#include "base/io.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"
#include "fs/vfs/path.h"
#include "fs/vfs/types.h"
#include "host/host_fd.h"

namespace usk {

class Caller;         // The task that makes a call (fs/vfs/caller.h).
class DirSink;        // Receives directory entries (fs/vfs/dir.h).
class DirectoryMark;  // F_NOTIFY (fs/vfs/file_signals.h).
class FileSignaller;  // O_ASYNC, likewise.

// What mmap(2) of a file maps: a range of a host descriptor, or fresh anonymous memory.
struct MmapBacking {
  Ref<HostFd> fd;         // Null: anonymous memory (/dev/zero).
  uint64_t offset = 0;    // In the host file, where the mapping's first byte is.
  bool writable = false;  // Whether the host descriptor may be mapped shared and writable.
};

// An open file description. Descriptors, dup()ed or passed, share one. Subclasses say what
// reading, writing and waiting mean. An operation that would wait fails with EAGAIN whatever
// O_NONBLOCK says: waiting is the caller's business (kernel/wait).
class File : public RefCounted {
 public:
  enum Mode : uint32_t {  // What the file can do at all (Linux's FMODE_*).
    kRead = 1,
    kWrite = 2,
    kSeek = 4,       // lseek(2) works; reads and writes move a position.
    kPread = 8,      // pread(2) and pwrite(2) work.
    kPathOnly = 16,  // O_PATH
    kCanPoll = 32,   // epoll accepts it (regular files and directories: EPERM).
  };

  // `flags` as given to open(2); O_CREAT, O_EXCL, O_NOCTTY and O_TRUNC are dropped. kRead and
  // kWrite follow from the access mode in `flags` (unless kPathOnly is given); `mode_bits` adds
  // what this kind of file can do beyond.
  File(Path path, int flags, uint32_t mode_bits, Ref<const Creds> creds);
  explicit File(Blank);
  ~File() override;

  // The second half of open(2), with the caller at hand; gives the file that the caller gets,
  // almost always this one. EAGAIN: wait on queue() and ask again (the other end of a FIFO).
  virtual Result<Ref<File>> finish_open(Caller& caller, int flags) {
    return Ref<File>::share(this);
  }

  const Path& path() const { return path_; }
  Inode& inode() const;
  uint32_t mode() const { return mode_; }
  bool can(uint32_t bits) const { return (mode_ & bits) == bits; }
  // Who opened it.
  const Creds& creds() const { return *creds_; }
  // O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME, O_ASYNC, O_SYNC and the access mode.
  int flags() const { return flags_.load(std::memory_order_relaxed); }
  // fcntl(F_SETFL).
  virtual Result<void> set_flags(int flags);
  bool nonblocking() const { return flags() & O_NONBLOCK; }

  // `pos` is where a seekable file reads or writes, and is moved past the bytes done; others
  // ignore it. Fails with EAGAIN where it would have to wait. At most the sizes of the ends;
  // may do less. O_APPEND is the file's own business (it knows its end).
  virtual Result<size_t> read(IoOut& dst, uint64_t& pos) { return Err(EINVAL); }
  virtual Result<size_t> write(IoIn& src, uint64_t& pos) { return Err(EINVAL); }
  // write(2) with the caller at hand, for files that tell their readers who wrote.
  virtual Result<size_t> write_by(Caller& caller, IoIn& src, uint64_t& pos) {
    return write(src, pos);
  }
  // Returns the new position. The default serves files with a size (SEEK_END by getattr).
  virtual Result<uint64_t> seek(int64_t offset, int whence);
  // Entries from position `pos` on, into the sink, until it is full; moves `pos`.
  virtual Result<void> read_dir(DirSink& sink, uint64_t& pos) { return Err(ENOTDIR); }

  // Woken with kReleased when the last reference goes, the file being still whole (Linux:
  // __fput). Then Ref cannot be taken any more, only try_ref() can be asked. For epoll.
  static constexpr PollMask kReleased = POLLNVAL;
  WaitQueue& release_queue() { return release_queue_; }

  // What is ready now.
  virtual PollMask poll() { return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM; }
  // Where changes of poll() are announced. The default is a queue of the file's own; files
  // whose readiness is shared (pipe ends, terminals) return the shared one.
  virtual WaitQueue& queue() { return own_queue_; }

  virtual Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) { return Err(ENOTTY); }
  // Asked before each read, write and some ioctls: a terminal answers whether a background
  // process may go on. kSignalled: a signal is on its way and the call is to be restarted
  // after it (Linux's ERESTARTSYS).
  enum class IoVerdict { kGo, kSignalled };
  virtual Result<IoVerdict> before_io(Caller& caller, bool write) { return IoVerdict::kGo; }
  // The same for ioctls: a background process may not change its terminal.
  virtual Result<IoVerdict> before_ioctl(Caller& caller, uint32_t cmd) { return IoVerdict::kGo; }
  // A caller gave up waiting for this file (a signal, a time-out) and does not ask again.
  virtual void wait_ended() {}
  // `prot` and `flags` as mmap(2); the page range is [offset, offset + length).
  virtual Result<MmapBacking> mmap(uint64_t offset, uint64_t length, int prot, int flags) {
    return Err(ENODEV);
  }
  // So many pages of shared mappings that may be written came (or went).
  virtual void count_writable_mapping(int64_t pages) {}
  // Of an attachment of System V shared memory, the size of the segment; else 0. Such a file is
  // told how many more (or fewer) areas of address spaces map it.
  virtual uint64_t segment_size() const { return 0; }
  virtual void count_areas(int64_t delta) {}
  virtual Result<void> fsync(bool data_only) { return Err(EINVAL); }
  virtual Result<void> truncate(uint64_t size);
  virtual Result<void> fallocate(int mode, uint64_t offset, uint64_t length) { return Err(ESPIPE); }
  // A descriptor that refers to this file was closed (close(2), not dup'ed ones left): may
  // report a late error. POSIX locks are dropped by the descriptor table.
  virtual Result<void> flush() { return {}; }
  // Lines of /proc/PID/fdinfo beyond pos, flags, mnt_id and ino.
  virtual std::string fdinfo() const { return {}; }

  // lseek's position: locked across a read or write that uses it (POSIX: atomic).
  Mutex<Rank::kFilePos>& pos_mutex() RETURNS_LOCK(pos_mu_) { return pos_mu_; }
  uint64_t& pos_locked() REQUIRES(pos_mu_) { return pos_; }

  // The policy lets it only grow: O_APPEND stays, and it is not cut or mapped for writing.
  void make_append_only() {
    append_only_ = true;
    flags_.fetch_or(O_APPEND, std::memory_order_relaxed);
  }
  bool append_only() const { return append_only_; }

  // Counts this file among the writers of its inode and mount (inode.h, mount.h) until it dies.
  // ETXTBSY while the inode is being executed.
  Result<void> hold_write_access();

  // F_SETOWN, F_SETSIG: who gets SIGIO (fcntl(2)).
  struct Owner {
    int type = 0;  // F_OWNER_*
    int id = 0;
    int signal = 0;
    Uid uid = 0, euid = 0;
    USK_FIELDS(type, id, signal, uid, euid)
  };
  Owner owner() EXCLUDES(owner_mu_);
  void set_owner(const Owner& owner) EXCLUDES(owner_mu_);

  // O_ASYNC: `by` hears of queue() from now on; null: nobody does.
  void set_async(Ref<FileSignaller> by) EXCLUDES(owner_mu_);
  // F_NOTIFY of a directory, likewise.
  void set_directory_mark(Ref<DirectoryMark> mark) EXCLUDES(owner_mu_);

  uint64_t id() const { return id_; }  // Unique among all files ever opened.

  USK_FIELDS(path_, mode_, flags_, creds_, id_, pos_, holds_write_, append_only_, owner_, async_,
             directory_mark_)
  // Subclasses with their own call this first.
  OrFailure<void> restored(state::Restored&);

 protected:
  void set_mode(uint32_t mode) { mode_ = mode; }
  void last_unref() override;

 private:
  Path path_;
  uint32_t mode_;
  std::atomic<int> flags_;
  Ref<const Creds> creds_;
  uint64_t id_;
  Mutex<Rank::kFilePos> pos_mu_;
  uint64_t pos_ GUARDED_BY(pos_mu_) = 0;
  bool holds_write_ = false;
  bool append_only_ = false;
  Mutex<Rank::kLeaf> owner_mu_;
  Owner owner_ GUARDED_BY(owner_mu_);
  Ref<FileSignaller> async_ GUARDED_BY(owner_mu_);
  Ref<DirectoryMark> directory_mark_ GUARDED_BY(owner_mu_);
  std::atomic<bool> signals_{false};  // Whether it has one of the two.
  WaitQueue own_queue_;
  WaitQueue release_queue_;
};

}  // namespace usk
