#include "fs/vfs/special_open.h"

#include <sys/sysmacros.h>

#include <vector>

#include "base/lock.h"

namespace usk {
namespace {

struct DeviceRange {
  bool block;
  uint32_t major, first, count;
  SpecialOpen open;
};

Mutex<Rank::kLeaf> registry_mutex;
std::vector<DeviceRange> devices GUARDED_BY(registry_mutex);
SpecialOpen fifo_opener GUARDED_BY(registry_mutex) = nullptr;

SpecialOpen find(uint32_t type, Dev rdev) {
  Lock lock(registry_mutex);
  if (type == S_IFIFO) return fifo_opener;
  const bool block = type == S_IFBLK;
  const DeviceRange* best = nullptr;
  for (const DeviceRange& d : devices) {
    if (d.block != block || d.major != major(rdev)) continue;
    if (minor(rdev) < d.first || minor(rdev) - d.first >= d.count) continue;
    if (!best || d.count <= best->count) best = &d;
  }
  return best ? best->open : nullptr;
}

}  // namespace

void register_fifo_opener(SpecialOpen open) {
  Lock lock(registry_mutex);
  fifo_opener = open;
}

void register_device_opener(bool block, uint32_t major, uint32_t first_minor, uint32_t count,
                            SpecialOpen open) {
  Lock lock(registry_mutex);
  devices.push_back({block, major, first_minor, count, open});
}

Result<Ref<File>> open_special(Inode& inode, Path path, int flags, Ref<const Creds> creds) {
  if (inode.type() == S_IFSOCK) return Err(ENXIO);
  const Dev rdev = inode.type() == S_IFIFO ? 0 : TRY(inode.getattr()).rdev;
  SpecialOpen open = find(inode.type(), rdev);
  if (!open) return Err(ENXIO);
  return open(inode, std::move(path), flags, std::move(creds));
}

}  // namespace usk
