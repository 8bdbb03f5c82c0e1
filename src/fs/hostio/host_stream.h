// A descriptor of the host as an open file of the guest: pipe, socket, file or device.
#pragma once
#include "fs/hostio/host_channel.h"
#include "fs/vfs/file.h"

namespace usk {

// Bytes go straight to the host's object; nothing is buffered here and no call waits.
class HostStream final : public File {
 public:
  HostStream(Path path, int flags, Ref<const Creds> creds, Ref<HostChannel> channel);

  // The file for given descriptor `fd`, which it owns from now on; `role` as in HostChannel. EBADF:
  // not an open one.
  static Result<Ref<File>> make(std::shared_ptr<HostPoller> poller, UniqueFd fd,
                                Ref<const Creds> creds, std::string role = {});
  explicit HostStream(Blank b) : File(b) {}

  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<size_t> write(IoIn& src, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t offset, int whence) override;
  PollMask poll() override;
  WaitQueue& queue() override { return channel_->queue(); }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  Result<MmapBacking> mmap(uint64_t offset, uint64_t length, int prot, int flags) override;
  Result<void> fsync(bool data_only) override;
  Result<void> fallocate(int mode, uint64_t offset, uint64_t length) override;

  USK_FIELDS_OF(File, channel_)
  OrFailure<void> restored(state::Restored& r);

 private:
  bool is_closed_pipe() const;
  bool is_own_position(const uint64_t& pos);
  Result<size_t> read_host(std::span<std::byte> dst, const uint64_t& pos);
  Result<size_t> write_host(std::span<const std::byte> src, uint64_t& pos);

  Ref<HostChannel> channel_;
};

}  // namespace usk
