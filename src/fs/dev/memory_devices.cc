#include "fs/dev/memory_devices.h"

#include <linux/capability.h>
#include <linux/random.h>
#include <sys/sysmacros.h>

#include <array>

#include "fs/vfs/caller.h"
#include "fs/vfs/saving.h"
#include "fs/vfs/special_open.h"
#include "host/random.h"

namespace usk {
namespace {

// What Linux reports while its pool is ready, as it always is.
constexpr int kEntropyBits = 256;

// Takes all of `src` and forgets it; like Linux, without looking at the bytes.
size_t discard(IoIn& src) { return src.size(); }

class DeviceFile : public File {
 public:
  DeviceFile(Path path, int flags, Ref<const Creds> creds, uint32_t more_mode = 0)
      : File(std::move(path), flags, kSeek | kPread | more_mode, std::move(creds)) {}
  explicit DeviceFile(Blank b) : File(b) {}
  USK_FIELDS_OF(File)
  // Linux: the position stays 0 whatever is asked.
  Result<uint64_t> seek(int64_t, int) override { return 0; }
  Result<void> truncate(uint64_t) override { return Err(EINVAL); }
  Result<void> fallocate(int, uint64_t, uint64_t) override { return Err(ENODEV); }
};

class NullFile final : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;
  Result<size_t> read(IoOut&, uint64_t&) override { return 0; }
  Result<size_t> write(IoIn& src, uint64_t&) override { return discard(src); }
};

Result<size_t> put_zeros(IoOut& dst) {
  static constexpr std::array<std::byte, 4096> zeros{};
  size_t done = 0;
  while (dst.size() > 0) {
    const size_t want = std::min(dst.size(), zeros.size());
    auto n = dst.put(std::span(zeros).first(want));
    if (!n && done == 0) return Err(n.error());
    if (!n) break;
    done += *n;
    if (*n < want) break;
  }
  return done;
}

class ZeroFile : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;
  Result<size_t> read(IoOut& dst, uint64_t&) override { return put_zeros(dst); }
  Result<size_t> write(IoIn& src, uint64_t&) override { return discard(src); }
  Result<MmapBacking> mmap(uint64_t, uint64_t, int, int) override {
    return MmapBacking{.writable = true};
  }
};

class FullFile final : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;
  Result<size_t> read(IoOut& dst, uint64_t&) override { return put_zeros(dst); }
  Result<size_t> write(IoIn&, uint64_t&) override { return Err(ENOSPC); }
};

class RandomFile final : public DeviceFile {
 public:
  RandomFile(Path path, int flags, Ref<const Creds> creds, bool pollable)
      : DeviceFile(std::move(path), flags, std::move(creds), pollable ? kCanPoll : Mode()) {}
  explicit RandomFile(Blank b) : DeviceFile(b) {}
  Result<size_t> read(IoOut& dst, uint64_t&) override;
  // Linux mixes these bytes in; the host's pool needs none of the guest's.
  Result<size_t> write(IoIn& src, uint64_t&) override { return discard(src); }
  PollMask poll() override { return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM; }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
};

Result<size_t> RandomFile::read(IoOut& dst, uint64_t&) {
  std::array<std::byte, 4096> bytes;
  size_t done = 0;
  while (dst.size() > 0) {
    const size_t want = std::min(dst.size(), bytes.size());
    host::fill_random(std::span(bytes).first(want));
    auto n = dst.put(std::span(bytes).first(want));
    if (!n && done == 0) return Err(n.error());
    if (!n) break;
    done += *n;
    if (*n < want) break;
  }
  return done;
}

Result<int64_t> RandomFile::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  switch (cmd) {
    case RNDGETENTCNT: TRY(caller.put(arg, kEntropyBits)); return 0;
    case RNDADDTOENTCNT:
    case RNDADDENTROPY:
    case RNDZAPENTCNT:
    case RNDCLEARPOOL:
    case RNDRESEEDCRNG:
      if (!caller.creds().capable_in_root(CAP_SYS_ADMIN)) return Err(EPERM);
      return 0;
    default: return Err(EINVAL);
  }
}

}  // namespace

USK_SAVED(NullFile, "fs/dev/null")
USK_SAVED(ZeroFile, "fs/dev/zero")
USK_SAVED(FullFile, "fs/dev/full")
USK_SAVED(RandomFile, "fs/dev/random")

Result<Ref<File>> open_memory_device(Inode& inode, Path path, int flags, Ref<const Creds> creds) {
  switch (MemoryDevice(minor(TRY(inode.getattr()).rdev))) {
    case MemoryDevice::kNull: return make_ref<NullFile>(std::move(path), flags, std::move(creds));
    case MemoryDevice::kZero: return make_ref<ZeroFile>(std::move(path), flags, std::move(creds));
    case MemoryDevice::kFull: return make_ref<FullFile>(std::move(path), flags, std::move(creds));
    case MemoryDevice::kRandom:
      return make_ref<RandomFile>(std::move(path), flags, std::move(creds), true);
    case MemoryDevice::kUrandom:
      return make_ref<RandomFile>(std::move(path), flags, std::move(creds), false);
  }
  return Err(ENXIO);
}

void register_memory_devices() {
  register_device_opener(false, kMemoryMajor, 0, 256, open_memory_device);
}

}  // namespace usk
