#include "state/image/image_check.h"

#include <string.h>

#include <algorithm>

#include "host/file.h"

namespace usk::state {

void ImageCheck::add(std::string what, const Part& part, Ref<HostFd> file) {
  items_.push_back({std::move(what), part.size, part.checksum, std::move(file)});
  left_ += part.size;
}

OrFailure<bool> ImageCheck::step(uint64_t most) {
  constexpr uint64_t kAtOnce = 256 << 10;
  while (!items_.empty()) {
    const Item& item = items_.back();
    if (at_ == item.size) {
      if (sum_.value() != item.checksum) return fail(item.what + ": wrong checksum");
      items_.pop_back();
      sum_ = Checksum();
      at_ = 0;
      continue;
    }
    if (most == 0) return true;
    buffer_.resize(std::min({kAtOnce, most, item.size - at_}));
    const auto n = host::pread(*item.file, buffer_, at_);
    if (!n) return fail(item.what + ": " + strerror(int(n.error())));
    if (*n == 0) return fail(item.what + ": it ends too early");
    sum_.add(std::span<const std::byte>(buffer_).first(*n));
    at_ += *n;
    most -= *n;
    left_ -= *n;
  }
  return false;
}

}  // namespace usk::state
