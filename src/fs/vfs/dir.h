// Directory entries on their way to getdents64(2).
#pragma once
#include <cstdint>
#include <string_view>

#include "fs/vfs/types.h"

namespace usk {

class DirSink {
 public:
  virtual ~DirSink() = default;
  // `next_pos` is the position of the entry after this one (d_off); `type` is DT_*. False when
  // the entry does not fit: the caller stops and keeps its position.
  virtual bool emit(std::string_view name, Ino ino, uint8_t type, uint64_t next_pos) = 0;
};

}  // namespace usk
