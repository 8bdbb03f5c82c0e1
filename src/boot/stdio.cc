#include "boot/stdio.h"

#include <linux/magic.h>

#include "fs/vfs/internal.h"
#include "host/file_io.h"

namespace usk {
namespace {

class StreamFile final : public File {
 public:
  StreamFile(Path path, int flags, Ref<const Creds> creds, int own, Ref<HostFd> fd)
      : File(std::move(path), flags, kCanPoll, std::move(creds)),
        held_(std::move(fd)),
        fd_(held_ ? held_->get() : own) {}
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
  const Ref<HostFd> held_;
  const int fd_;
};

}  // namespace

OrFailure<void> install_stdio(Kernel&, FdTable& fds, Ref<const Creds> creds,
                              const StdStreams& streams) {
  auto fs = make_ref<InternalFs>("hostio", ANON_INODE_FS_MAGIC);
  for (int fd = 0; fd < 3; fd++) {
    auto inode = make_ref<InternalInode>(fs, S_IFIFO | 0600, *creds);
    auto file =
        make_ref<StreamFile>(internal_path(inode, "host:stream"), O_RDWR, creds, fd, streams[fd]);
    if (!fds.add(file, false, 1024)) return fail("cannot install the standard streams");
  }
  return {};
}

}  // namespace usk
