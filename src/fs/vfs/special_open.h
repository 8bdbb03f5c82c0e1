// Who opens FIFOs and device nodes: pipes, devices and terminals plug in here.
#pragma once
#include <cstdint>

#include "base/ref.h"
#include "base/result.h"
#include "fs/vfs/file.h"
#include "fs/vfs/inode.h"

namespace usk {

// Opens the object that `inode` (a FIFO or device node of any file system) stands for. `flags`
// as open(2). It does not wait: File::finish_open() does, once the path's locks are gone.
using SpecialOpen = Result<Ref<File>> (*)(Inode& inode, Path path, int flags,
                                          Ref<const Creds> creds);

// Registration happens at boot, before any guest runs. A device opener serves `count` minors of
// `major` from `first_minor` on; the narrowest registration wins.
void register_fifo_opener(SpecialOpen open);
void register_device_opener(bool block, uint32_t major, uint32_t first_minor, uint32_t count,
                            SpecialOpen open);

// What Inode::open() of a FIFO, socket or device node calls. ENXIO: nobody serves it (Linux's
// answer for a device number without a driver, and for a socket).
Result<Ref<File>> open_special(Inode& inode, Path path, int flags, Ref<const Creds> creds);

}  // namespace usk
