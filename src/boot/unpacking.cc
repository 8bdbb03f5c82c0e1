#include "boot/unpacking.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>

#include "host/file.h"
#include "host/file_io.h"
#include "mm/snapshot.h"

namespace usk {
namespace {

std::unexpected<Failure> cannot(std::string_view part, std::string_view why) {
  return fail(fmt::format("image part {}: {}", part, why));
}

}  // namespace

OrFailure<Ref<UnpackedPages>> UnpackedPages::make(const state::Image& image,
                                                  std::string_view part) {
  const state::Part* listed = image.manifest().find(part);
  if (!listed || (!listed->compressed && listed->map.empty())) return Ref<UnpackedPages>();
  auto pages =
      Ref<UnpackedPages>::adopt(new UnpackedPages(std::string(part), TRY(image.reader(part))));
  auto file = host::memory_file("usk-memory");
  if (!file) return cannot(part, strerror(int(file.error())));
  pages->file_ = make_ref<HostFd>(*std::move(file));
  // Pages that are zero stay holes.
  if (auto set = host::ftruncate(*pages->file_, pages->size()); !set) {
    return cannot(part, strerror(int(set.error())));
  }
  auto shared = pages->file_->readonly();
  if (!shared) return cannot(part, strerror(int(shared.error())));
  pages->readonly_ = *std::move(shared);
  return pages;
}

bool UnpackedPages::has(uint64_t at, uint64_t length) {
  const auto first = there_.first(at, at + length);
  if (first.start == at && first.end == at + length) return true;
  wanted_.add(at, at + length);
  return false;
}

Result<void> UnpackedPages::wait_for(uint64_t at, uint64_t length) {
  if (at > size() || length > size() - at) return Err(EIO);
  const uint64_t begin = at / kUnit * kUnit;
  const uint64_t end = std::min((at + length + kUnit - 1) / kUnit * kUnit, size());
  for (uint64_t from = begin; from < end;) {
    const auto there = there_.first(from, end);
    const uint64_t to = std::min(there.start, from + kUnit);
    if (from < to && !unpack(from, to)) return Err(EIO);
    from = from < to ? to : there.end;
  }
  wanted_.erase(begin, end);
  return {};
}

OrFailure<void> UnpackedPages::unpack(uint64_t from, uint64_t to) {
  if (!failed_) return failed_;
  std::vector<std::byte> buffer(to - from);
  failed_ = reader_->read(from, buffer);
  if (failed_) failed_ = write_to_file(buffer, *file_, from);
  if (!failed_) return failed_ = cannot(part_, failed_.error().message);
  there_.add(from, to);
  wanted_.erase(from, to);
  return {};
}

OrFailure<bool> UnpackedPages::step() {
  constexpr uint64_t kAtOnce = 256 << 10;
  for (uint64_t done = 0; done < kAtOnce; done += kUnit) {
    const auto next = wanted_.first(0, UINT64_MAX);
    if (next.start == next.end) return false;
    if (wait_for(next.start, std::min(next.end - next.start, kUnit))) continue;
    if (failed_) return cannot(part_, "pages that are not there");
    return std::unexpected(failed_.error());
  }
  return !wanted_.empty();
}

}  // namespace usk
