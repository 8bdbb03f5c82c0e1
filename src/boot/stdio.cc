#include "boot/stdio.h"

#include <linux/magic.h>

#include "fs/vfs/internal.h"
#include "host/file_io.h"

namespace usk {
namespace {

class StreamFile final : public File {
 public:
  StreamFile(Path path, int flags, Ref<const Creds> creds, int fd)
      : File(std::move(path), flags, kCanPoll, std::move(creds)), fd_(fd) {}
  Result<size_t> read(IoOut& dst, uint64_t&) override {
    std::vector<std::byte> buf(std::min<size_t>(dst.size(), 65536));
    const size_t n = TRY(host::read(fd_, buf));
    return dst.put(std::span(buf).first(n));
  }
  Result<size_t> write(IoIn& src, uint64_t&) override {
    std::vector<std::byte> buf(std::min<size_t>(src.size(), 65536));
    const size_t n = TRY(src.take(buf));
    return host::write(fd_, std::span(buf).first(n));
  }

 private:
  const int fd_;
};

// Opened again through /proc/PID/fd it is the same stream, as a pipe would be.
class StreamInode final : public InternalInode {
 public:
  StreamInode(Ref<InternalFs> fs, const Creds& owner, int fd)
      : InternalInode(std::move(fs), S_IFIFO | 0600, owner), fd_(fd) {}
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    return make_ref<StreamFile>(std::move(path), flags, std::move(creds), fd_);
  }

 private:
  const int fd_;
};

}  // namespace

OrFailure<void> install_stdio(Kernel&, FdTable& fds, Ref<const Creds> creds) {
  auto fs = make_ref<InternalFs>("hostio", ANON_INODE_FS_MAGIC);
  for (int fd = 0; fd < 3; fd++) {
    auto inode = make_ref<StreamInode>(fs, *creds, fd);
    auto file = make_ref<StreamFile>(internal_path(inode, "host:stream"), O_RDWR, creds, fd);
    if (!fds.add(file, false, 1024)) return fail("cannot install the standard streams");
  }
  return {};
}

}  // namespace usk
