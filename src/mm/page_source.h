// Pages of an image that may not be there yet (docs/decisions/0019).
#pragma once
#include <cstdint>

#include "base/ref.h"
#include "base/result.h"

namespace usk {

class PageSource : public RefCounted {
 public:
  // It comes in units of this size, as the file has them.
  static constexpr uint64_t kUnit = 64 << 10;
  // Whether [at, at + length) of the image's file holds what it is to hold.
  virtual bool has(uint64_t at, uint64_t length) = 0;
  // Waits until it does. EIO: it never will.
  virtual Result<void> wait_for(uint64_t at, uint64_t length) = 0;
};

}  // namespace usk
