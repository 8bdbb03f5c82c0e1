#include "state/image/frames.h"

#include <fmt/format.h>
#include <string.h>
#include <zstd.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "host/file.h"

namespace usk::state {
namespace {

// The fastest: the sandbox waits for it.
constexpr int kLevel = 1;
// Writing one is a step of the kernel's loop, and reading one what a page waits for.
constexpr size_t kWritten = 256 << 10;
static_assert(kWritten <= kFrameSize);
constexpr uint32_t kSkippableMagic = 0x184D2A5E, kTableMagic = 0x8F92EAB1;
constexpr size_t kHeaderSize = 8, kEntrySize = 8, kFooterSize = 9;

void put32(std::vector<std::byte>& to, uint32_t v) {
  for (int i = 0; i < 4; i++) to.push_back(std::byte(v >> (8 * i)));
}

uint32_t get32(std::span<const std::byte> from, size_t at) {
  uint32_t v = 0;
  for (size_t i = 0; i < 4; i++) v |= uint32_t(from[at + i]) << (8 * i);
  return v;
}

std::unexpected<Failure> bad() { return fail("not what was compressed"); }

}  // namespace

FrameWriter::FrameWriter(Sink sink)
    : sink_(std::move(sink)),
      context_(ZSTD_createCCtx()),
      compressed_(ZSTD_compressBound(kWritten)) {
  CHECK(context_);
  plain_.reserve(kWritten);
}

FrameWriter::~FrameWriter() { ZSTD_freeCCtx(context_); }

OrFailure<void> FrameWriter::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kWritten - plain_.size()));
    plain_.insert(plain_.end(), piece.begin(), piece.end());
    bytes = bytes.subspan(piece.size());
    if (plain_.size() == kWritten) TRY(write_frame());
  }
  return {};
}

OrFailure<void> FrameWriter::write_frame() {
  const size_t n = ZSTD_compressCCtx(context_, compressed_.data(), compressed_.size(),
                                     plain_.data(), plain_.size(), kLevel);
  if (ZSTD_isError(n)) return fail(fmt::format("zstd: {}", ZSTD_getErrorName(n)));
  frames_.push_back({uint32_t(n), uint32_t(plain_.size())});
  plain_.clear();
  return sink_(std::span(compressed_).first(n));
}

OrFailure<void> FrameWriter::finish() {
  if (!plain_.empty()) TRY(write_frame());
  std::vector<std::byte> table;
  put32(table, kSkippableMagic);
  put32(table, uint32_t(frames_.size() * kEntrySize + kFooterSize));
  for (const Sizes& frame : frames_) {
    put32(table, frame.compressed);
    put32(table, frame.plain);
  }
  put32(table, uint32_t(frames_.size()));
  table.push_back(std::byte(0));  // Without checksums: a part has one.
  put32(table, kTableMagic);
  return sink_(table);
}

OrFailure<FrameReader> FrameReader::open(Ref<HostFd> file, uint64_t size, uint64_t plain_size) {
  FrameReader reader(std::move(file));
  TRY(reader.read_table(size, plain_size));
  return reader;
}

OrFailure<void> FrameReader::read_bytes(uint64_t at, std::span<std::byte> to) const {
  while (!to.empty()) {
    const auto n = host::pread(*file_, to, at);
    if (!n) return fail(strerror(int(n.error())));
    if (*n == 0) return fail("it ends too early");
    to = to.subspan(*n);
    at += *n;
  }
  return {};
}

OrFailure<void> FrameReader::read_table(uint64_t size, uint64_t plain_size) {
  if (size < kHeaderSize + kFooterSize) return bad();
  std::array<std::byte, kFooterSize> footer;
  TRY(read_bytes(size - kFooterSize, footer));
  const uint64_t count = get32(footer, 0);
  if (get32(footer, 5) != kTableMagic || footer[4] != std::byte(0)) return bad();
  if (count > (size - kHeaderSize - kFooterSize) / kEntrySize) return bad();
  const uint64_t begin = size - kFooterSize - kEntrySize * count - kHeaderSize;
  std::vector<std::byte> table(kHeaderSize + kEntrySize * count);
  TRY(read_bytes(begin, table));
  if (get32(table, 0) != kSkippableMagic || get32(table, 4) != kEntrySize * count + kFooterSize) {
    return bad();
  }
  uint64_t at = 0, plain = 0;
  for (uint64_t i = 0; i < count; i++) {
    const uint32_t compressed = get32(table, kHeaderSize + kEntrySize * i);
    const uint32_t contents = get32(table, kHeaderSize + kEntrySize * i + 4);
    if (compressed > begin - at || contents == 0 || contents > kFrameSize) return bad();
    frames_.push_back({at, plain, compressed, contents});
    at += compressed;
    plain += contents;
  }
  if (at != begin || plain != plain_size) return bad();
  return {};
}

size_t FrameReader::frame_at(uint64_t offset) const {
  const auto behind = std::ranges::upper_bound(frames_, offset, {}, &Frame::start);
  return size_t(behind - frames_.begin()) - 1;
}

OrFailure<std::span<const std::byte>> FrameReader::read(size_t i) {
  const Frame& frame = frames_[i];
  compressed_.resize(frame.compressed);
  plain_.resize(frame.plain);
  TRY(read_bytes(frame.at, compressed_));
  const size_t n =
      ZSTD_decompress(plain_.data(), plain_.size(), compressed_.data(), compressed_.size());
  if (ZSTD_isError(n) || n != plain_.size()) return bad();
  return std::span<const std::byte>(plain_);
}

}  // namespace usk::state
