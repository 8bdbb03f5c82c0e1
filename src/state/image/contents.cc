#include "state/image/contents.h"

#include <fmt/format.h>
#include <unistd.h>

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

struct Range {
  uint64_t offset, length;
};

// Where the file has data, as its file system knows.
OrFailure<std::vector<Range>> data_of(const HostFd& file, uint64_t size) {
  std::vector<Range> out;
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

uint64_t ContentsWriter::keep(const Ref<HostFd>& file) {
  const auto [it, is_new] = numbers_.emplace(file.get(), files_.size());
  if (is_new) files_.push_back(file);
  return it->second;
}

OrFailure<void> ContentsWriter::write(ImageWriter& image) const {
  CborWriter table;
  table.array(files_.size());
  PartWriter* part = TRY(image.begin(kContentsPart));
  for (const Ref<HostFd>& file : files_) {
    const auto size = host::lseek(*file, 0, SEEK_END);
    if (!size) return cannot("contents", size.error());
    const std::vector<Range> ranges = TRY(data_of(*file, *size));
    table.array(2);
    table.number(*size);
    table.array(ranges.size());
    for (const Range& r : ranges) {
      table.array(2);
      table.number(r.offset);
      table.number(r.length);
      TRY(part->append_from(*file, r.offset, r.length));
    }
  }
  return image.add(kContentsTable, table.out());
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
