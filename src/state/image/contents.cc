#include "state/image/contents.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "host/file.h"
#include "host/file_io.h"
#include "state/cbor.h"

namespace usk::state {
namespace {

constexpr uint64_t kMaxFileSize = INT64_MAX;

std::unexpected<Failure> cannot(std::string_view what, Errno why) {
  return fail(fmt::format("{}: {}", what, strerror(int(why))));
}

// Where the file has data, as its file system knows.
OrFailure<std::vector<ContentsRange>> data_of(const HostFd& file, uint64_t size) {
  std::vector<ContentsRange> out;
  for (uint64_t at = 0; at < size;) {
    const auto data = host::lseek(file, int64_t(at), SEEK_DATA);
    if (failed_with(data, ENXIO)) break;
    if (!data) return cannot("contents", data.error());
    const auto hole = host::lseek(file, int64_t(*data), SEEK_HOLE);
    if (!hole) return cannot("contents", hole.error());
    out.push_back({*data, std::min(*hole, size) - *data});
    at = *hole;
  }
  return out;
}

}  // namespace

OrFailure<Ref<FrozenContents>> FrozenContents::make(Ref<HostFd> file) {
  const auto size = host::lseek(*file, 0, SEEK_END);
  if (!size) return cannot("contents", size.error());
  auto ranges = TRY(data_of(*file, *size));
  auto frozen = Ref<FrozenContents>::adopt(new FrozenContents(std::move(file), *size));
  frozen->ranges_ = std::move(ranges);
  return frozen;
}

size_t FrozenContents::first_range(uint64_t offset) const {
  const auto end = [](const ContentsRange& r) { return r.offset + r.length; };
  return size_t(std::ranges::upper_bound(ranges_, offset, {}, end) - ranges_.begin());
}

// Only where there is data: files may be sparse beyond measure.
void FrozenContents::before_change(uint64_t offset, uint64_t length) {
  if (is_over() || offset >= size_ || length == 0) return;
  const uint64_t end = offset + std::min(length, size_ - offset);
  Lock lock(mu_);
  const uint64_t begin = std::max(offset, passed_);
  for (size_t i = first_range(begin); i < ranges_.size() && ranges_[i].offset < end; i++) {
    const uint64_t from = std::max(begin, ranges_[i].offset);
    const uint64_t to = std::min(end, ranges_[i].offset + ranges_[i].length);
    for (uint64_t unit = from / kUnit; unit * kUnit < to; unit++) {
      const auto done = put_aside(unit);
      if (!done) error_ = done.error();  // Whoever reads it is told.
    }
  }
}

Result<void> FrozenContents::put_aside(uint64_t unit) {
  if (units_aside_.contains(unit)) return {};
  if (!aside_) aside_ = make_ref<HostFd>(TRY(host::memory_file("usk-aside")));
  const uint64_t from = unit * kUnit, to = std::min(from + kUnit, size_);
  for (size_t i = first_range(from); i < ranges_.size() && ranges_[i].offset < to; i++) {
    const ContentsRange& r = ranges_[i];
    const uint64_t start = std::max(from, r.offset), end = std::min(to, r.offset + r.length);
    TRY(host::copy_range(*file_, start, *aside_, start, end - start));
  }
  units_aside_.insert(unit);
  return {};
}

OrFailure<void> FrozenContents::read(uint64_t offset, std::span<std::byte> to) {
  Lock lock(mu_);
  while (!to.empty()) {
    if (error_ != Errno{}) return cannot("contents", error_);
    const bool aside = units_aside_.contains(offset / kUnit);
    const auto piece = to.first(std::min<uint64_t>(to.size(), kUnit - offset % kUnit));
    const auto n = host::pread(aside ? *aside_ : *file_, piece, offset);
    if (!n) return cannot("contents", n.error());
    if (*n == 0) return fail("contents: a file ends too early");
    offset += *n;
    to = to.subspan(*n);
  }
  return {};
}

void FrozenContents::pass(uint64_t offset) {
  Lock lock(mu_);
  passed_ = offset;
}

ContentsWriter::~ContentsWriter() {
  for (const Kept& k : files_) {
    if (k.frozen) k.frozen->over_.store(true, std::memory_order_relaxed);
  }
}

uint64_t ContentsWriter::keep(const Ref<HostFd>& file, Changes changes) {
  const auto [it, is_new] = numbers_.emplace(file.get(), files_.size());
  if (is_new) files_.push_back({.file = file, .changes = changes});
  return it->second;
}

void ContentsWriter::tell(uint64_t number, Take take) { files_[number].take = std::move(take); }

OrFailure<void> ContentsWriter::begin(ImageWriter& image, bool behind) {
  CborWriter table;
  table.array(files_.size());
  part_ = TRY(image.begin(kContentsPart));
  for (Kept& kept : files_) {
    kept.frozen = TRY(FrozenContents::make(kept.file));
    table.array(2);
    table.number(kept.frozen->size_);
    table.array(kept.frozen->ranges_.size());
    for (const ContentsRange& r : kept.frozen->ranges_) {
      table.array(2);
      table.number(r.offset);
      table.number(r.length);
    }
    if (!behind) continue;
    if (kept.take) kept.take(kept.frozen);
    if (kept.changes == Changes::kUnknown) kept.frozen->before_sharing();
  }
  return image.add(kContentsTable, table.out());
}

OrFailure<bool> ContentsWriter::write_some(uint64_t most) {
  constexpr uint64_t kPiece = 256 << 10;
  std::vector<std::byte> buffer;
  for (uint64_t written = 0; written < most && file_ < files_.size();) {
    FrozenContents& frozen = *files_[file_].frozen;
    if (range_ == frozen.ranges_.size()) {
      frozen.over_.store(true, std::memory_order_relaxed);
      file_++, range_ = 0;
      continue;
    }
    const ContentsRange& r = frozen.ranges_[range_];
    buffer.resize(std::min(kPiece, r.length - done_));
    TRY(frozen.read(r.offset + done_, buffer));
    TRY(part_->append(buffer));
    done_ += buffer.size();
    written += buffer.size();
    frozen.pass(r.offset + done_);
    if (done_ == r.length) range_++, done_ = 0;
  }
  return file_ < files_.size();
}

OrFailure<void> ContentsWriter::write(ImageWriter& image) {
  TRY(begin(image, /*behind=*/false));
  while (TRY(write_some(UINT64_MAX))) {
  }
  return {};
}

OrFailure<ContentsReader> ContentsReader::open(const Image& image) {
  ContentsReader reader;
  const std::string table = TRY(image.read(kContentsTable));
  reader.part_ = TRY(image.file(kContentsPart));
  TRY(reader.parse(table, image.manifest().find(kContentsPart)->plain_size));
  return reader;
}

OrFailure<void> ContentsReader::parse(std::string_view table, uint64_t part_size) {
  CborReader in(table);
  const auto bad = [&] {
    return fail(fmt::format("image part {}: {}", kContentsTable,
                            in.error() ? in.error() : "ranges that cannot be"));
  };
  uint64_t count, parts, ranges, at = 0;
  if (!in.array(count)) return bad();
  for (uint64_t i = 0; i < count; i++) {
    Entry& e = entries_.emplace_back();
    if (!in.array(parts) || parts != 2 || !in.number(e.size) || !in.array(ranges)) return bad();
    if (e.size > kMaxFileSize) return bad();
    uint64_t end = 0;
    for (uint64_t r = 0; r < ranges; r++) {
      Extent x{0, 0, at};
      if (!in.array(parts) || parts != 2 || !in.number(x.offset) || !in.number(x.length))
        return bad();
      if (x.offset < end || x.length > e.size || x.offset > e.size - x.length) return bad();
      if (x.length > part_size - at) return bad();
      end = x.offset + x.length;
      at += x.length;
      e.extents.push_back(x);
    }
  }
  if (!in.at_end() || at != part_size) return bad();
  return {};
}

OrFailure<Ref<HostFd>> ContentsReader::file(uint64_t number) {
  if (number >= entries_.size()) return fail(fmt::format("there are no contents {}", number));
  Entry& e = entries_[number];
  if (e.file) return e.file;
  auto made = host::memory_file("usk-file");
  if (!made) return cannot("contents", made.error());
  auto file = make_ref<HostFd>(std::move(*made));
  if (auto done = host::ftruncate(*file, e.size); !done) return cannot("contents", done.error());
  for (const Extent& x : e.extents) {
    const auto copied = host::copy_range(*part_, x.at, *file, x.offset, x.length);
    if (!copied) return cannot("contents", copied.error());
    if (*copied != x.length) return fail("image part contents: it ends too early");
  }
  return e.file = file;
}

}  // namespace usk::state
