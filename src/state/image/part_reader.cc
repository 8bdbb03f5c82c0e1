#include "state/image/part_reader.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>

#include "host/file.h"
#include "state/image/image.h"

namespace usk::state {

OrFailure<void> PartReader::read(uint64_t offset, std::span<std::byte> to) {
  if (offset > size() || to.size() > size() - offset) return fail("it ends too early");
  if (!map_) return read_own(offset, to);
  size_t i = size_t(std::ranges::upper_bound(run_starts_, offset) - run_starts_.begin()) - 1;
  for (; !to.empty(); i++) {
    const PageMap::Run& run = map_->runs()[i];
    const uint64_t within = offset - run_starts_[i];
    const auto piece = to.first(std::min<uint64_t>(to.size(), run.length - within));
    TRY(run.from_base ? base_->read(run.offset + within, piece)
                      : read_own(run.offset + within, piece));
    offset += piece.size();
    to = to.subspan(piece.size());
  }
  return {};
}

OrFailure<void> PartReader::read_own(uint64_t offset, std::span<std::byte> to) {
  if (frames_) return read_frames(offset, to);
  while (!to.empty()) {
    const auto n = host::pread(*file_, to, offset);
    if (!n) return fail(strerror(int(n.error())));
    if (*n == 0) return fail("it ends too early");
    offset += *n;
    to = to.subspan(*n);
  }
  return {};
}

OrFailure<void> PartReader::read_frames(uint64_t offset, std::span<std::byte> to) {
  while (!to.empty()) {
    const size_t i = frames_->frame_at(offset);
    if (frame_ != i) {
      frame_.reset();
      contents_ = TRY(frames_->read(i));
      frame_ = i;
    }
    const auto rest = contents_.subspan(offset - frames_->start_of(i));
    const size_t n = std::min(rest.size(), to.size());
    memcpy(to.data(), rest.data(), n);
    offset += n;
    to = to.subspan(n);
  }
  return {};
}

OrFailure<std::unique_ptr<PartReader>> Image::reader(std::string_view name) const {
  const Opened opened = TRY(find(name));
  std::unique_ptr<PartReader> reader(new PartReader(opened.file, opened.part.plain_size));
  if (opened.part.compressed) {
    auto frames = FrameReader::open(opened.file, opened.part.size, opened.part.plain_size);
    if (!frames) return fail(fmt::format("image part {}: {}", name, frames.error().message));
    reader->frames_.emplace(*std::move(frames));
  }
  if (opened.part.map.empty()) return reader;
  reader->map_ = TRY(map_of(opened.part));
  uint64_t at = 0;
  for (const PageMap::Run& run : reader->map_->runs()) {
    reader->run_starts_.push_back(at);
    at += run.length;
  }
  if (base_) reader->base_ = TRY(base_->reader(name));
  return reader;
}

}  // namespace usk::state
