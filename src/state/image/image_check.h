// Whether parts of an image are what was written: checksums, compared piece by piece.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"
#include "state/image/checksum.h"
#include "state/image/manifest.h"

namespace usk::state {

class ImageCheck {
 public:
  void add(std::string what, const Part& part, Ref<HostFd> file);
  // How many bytes there still are to read.
  uint64_t left() const { return left_; }
  // Reads at most so many. True: there is more. What fails names the part.
  OrFailure<bool> step(uint64_t most);

 private:
  struct Item {
    std::string what;
    uint64_t size;
    uint64_t checksum;
    Ref<HostFd> file;
  };
  std::vector<Item> items_;  // The last is next.
  uint64_t left_ = 0, at_ = 0;
  Checksum sum_;
  std::vector<std::byte> buffer_;
};

}  // namespace usk::state
