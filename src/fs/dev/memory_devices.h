// The devices of mem(4): null(4), zero, full(4), random(4), urandom.
#pragma once
#include "fs/vfs/file.h"
#include "fs/vfs/inode.h"

namespace usk {

// Character devices of major 1.
constexpr uint32_t kMemoryMajor = 1;
enum class MemoryDevice : uint32_t { kNull = 3, kZero = 5, kFull = 7, kRandom = 8, kUrandom = 9 };

// open(2) of a node with major 1; ENXIO when there is no such device.
Result<Ref<File>> open_memory_device(Inode& inode, Path path, int flags, Ref<const Creds> creds);
void register_memory_devices();

}  // namespace usk
