// What a part of an image holds, piece by piece in any order, though it is compressed or refers to
// another image.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"
#include "state/image/frames.h"
#include "state/image/page_map.h"

namespace usk::state {

class PartReader {
 public:
  uint64_t size() const { return map_ ? map_->size() : own_size_; }
  // Of what lies within size(). The same frame is not unpacked twice in a row.
  OrFailure<void> read(uint64_t offset, std::span<std::byte> to);

 private:
  friend class Image;
  PartReader(Ref<HostFd> file, uint64_t own_size) : file_(std::move(file)), own_size_(own_size) {}
  // What is in its own file.
  OrFailure<void> read_own(uint64_t offset, std::span<std::byte> to);
  OrFailure<void> read_frames(uint64_t offset, std::span<std::byte> to);

  Ref<HostFd> file_;
  uint64_t own_size_;
  std::optional<FrameReader> frames_;    // Nothing: it is not compressed.
  std::optional<size_t> frame_;          // The last that was read, ...
  std::span<const std::byte> contents_;  // ... and its contents.
  std::optional<PageMap> map_;           // Nothing: all is in its own file.
  std::vector<uint64_t> run_starts_;     // Of the map's runs.
  std::unique_ptr<PartReader> base_;
};

}  // namespace usk::state
