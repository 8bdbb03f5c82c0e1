// A part that is compressed: zstd frames (RFC 8878) of up to 1 MiB of content each, which can be
// read one by one, and behind them a table of their sizes in a frame that readers of zstd skip
// (zstd's "seekable format"). `zstd -d` gives the contents as well.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"

struct ZSTD_CCtx_s;

namespace usk::state {

constexpr size_t kFrameSize = 1 << 20;  // Of contents, at most.

class FrameWriter {
 public:
  using Sink = std::function<OrFailure<void>(std::span<const std::byte>)>;
  // Compressed bytes go to `sink`.
  explicit FrameWriter(Sink sink);
  ~FrameWriter();
  OrFailure<void> append(std::span<const std::byte> bytes);
  // The last frame and the table.
  OrFailure<void> finish();

 private:
  struct Sizes {
    uint32_t compressed, plain;
  };
  OrFailure<void> write_frame();
  Sink sink_;
  ZSTD_CCtx_s* context_;
  std::vector<std::byte> plain_, compressed_;
  std::vector<Sizes> frames_;
};

// Reads what anybody may have made: no frame is larger than kFrameSize.
class FrameReader {
 public:
  // `size` is that of the file, `plain_size` what it is to hold.
  static OrFailure<FrameReader> open(Ref<HostFd> file, uint64_t size, uint64_t plain_size);
  size_t count() const { return frames_.size(); }
  // The frame that holds what lies at `offset` of the contents, and where those of a frame begin.
  size_t frame_at(uint64_t offset) const;
  uint64_t start_of(size_t i) const { return frames_[i].start; }
  // The contents of frame `i`, until the next call.
  OrFailure<std::span<const std::byte>> read(size_t i);

 private:
  struct Frame {
    uint64_t at, start;  // Of what is in the file; of its contents.
    uint32_t compressed, plain;
  };
  explicit FrameReader(Ref<HostFd> file) : file_(std::move(file)) {}
  OrFailure<void> read_table(uint64_t size, uint64_t plain_size);
  OrFailure<void> read_bytes(uint64_t at, std::span<std::byte> to) const;
  Ref<HostFd> file_;
  std::vector<Frame> frames_;
  std::vector<std::byte> plain_, compressed_;
};

}  // namespace usk::state
