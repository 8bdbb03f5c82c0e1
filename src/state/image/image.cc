#include "state/image/image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "host/file.h"
#include "host/file_io.h"

namespace usk::state {
namespace {

std::unexpected<Failure> cannot(std::string_view what, Errno why) {
  return fail(fmt::format("{}: {}", what, strerror(int(why))));
}

OrFailure<uint64_t> size_of(const HostFd& file, std::string_view what) {
  const auto size = host::lseek(file, 0, SEEK_END);
  if (!size) return cannot(what, size.error());
  return *size;
}

OrFailure<void> read_all(const HostFd& file, std::span<std::byte> to, uint64_t offset,
                         std::string_view what) {
  while (!to.empty()) {
    const auto n = host::pread(file, to, offset);
    if (!n) return cannot(what, n.error());
    if (*n == 0) return fail(fmt::format("{}: it ends too early", what));
    to = to.subspan(*n);
    offset += *n;
  }
  return {};
}

OrFailure<void> write_all(const HostFd& file, std::span<const std::byte> bytes, uint64_t offset,
                          std::string_view what) {
  while (!bytes.empty()) {
    const auto n = host::pwrite(file, bytes, offset);
    if (!n) return cannot(what, n.error());
    bytes = bytes.subspan(*n);
    offset += *n;
  }
  return {};
}

// Pages of zeros stay holes.
OrFailure<void> write_data(const HostFd& file, std::span<const std::byte> bytes, uint64_t offset,
                           std::string_view what) {
  static constexpr std::array<std::byte, kPageSize> kZeros{};
  const auto is_zero = [](std::span<const std::byte> page) {
    return memcmp(page.data(), kZeros.data(), page.size()) == 0;
  };
  while (!bytes.empty()) {
    size_t length = 0;
    bool zero = false;
    while (length < bytes.size()) {
      const auto page = bytes.subspan(length, std::min(kPageSize, bytes.size() - length));
      if (length > 0 && is_zero(page) != zero) break;
      zero = is_zero(page);
      length += page.size();
    }
    if (!zero) TRY(write_all(file, bytes.first(length), offset, what));
    bytes = bytes.subspan(length);
    offset += length;
  }
  return {};
}

// Copies what is no hole.
OrFailure<void> copy_data(const HostFd& from, uint64_t at, const HostFd& to, uint64_t to_at,
                          uint64_t length, std::string_view what) {
  for (const uint64_t begin = at, end = at + length; at < end;) {
    const auto data = host::lseek(from, int64_t(at), SEEK_DATA);
    if (failed_with(data, ENXIO)) return {};
    if (!data) return cannot(what, data.error());
    const auto hole = host::lseek(from, int64_t(*data), SEEK_HOLE);
    if (!hole) return cannot(what, hole.error());
    const uint64_t stop = std::min(*hole, end);
    if (*data >= stop) return {};
    const auto n = host::copy_range(from, *data, to, to_at + (*data - begin), stop - *data);
    if (!n) return cannot(what, n.error());
    if (*n != stop - *data) return fail(fmt::format("{}: it ends too early", what));
    at = stop;
  }
  return {};
}

OrFailure<Ref<HostFd>> memory_file_of(uint64_t size, std::string_view what) {
  auto made = host::memory_file("usk-part");
  if (!made) return cannot(what, made.error());
  auto file = make_ref<HostFd>(std::move(*made));
  if (auto set = host::ftruncate(*file, size); !set) return cannot(what, set.error());
  return file;
}

// Another name in the directory that `dir` lies in; that is another one if `dir` is a link.
std::string beside(const std::string& dir, const std::string& name) {
  std::error_code error;
  const auto place = std::filesystem::canonical(dir, error);
  return error ? dir + "/../" + name : (place.parent_path() / name).string();
}

std::string part_text(std::string_view name) { return fmt::format("image part {}", name); }

}  // namespace

OrFailure<Image> Image::open(const std::string& dir) { return open(dir, 0); }

OrFailure<Image> Image::open(const std::string& dir, int depth) {
  auto place = host::open_dir(dir);
  if (!place) return cannot(dir, place.error());
  auto file = host::open_beneath(**place, "manifest", O_RDONLY | O_NONBLOCK);
  if (failed_with(file, ENOENT)) return fail(dir + ": not an image (it has no manifest)");
  if (!file) return cannot(dir + "/manifest", file.error());
  Image image = TRY(read(**file, [&](const std::string& name) {
    return host::open_beneath(**place, name, O_RDONLY | O_NONBLOCK);
  }));
  TRY(image.open_base(dir, depth));
  return image;
}

OrFailure<Image> Image::of(const Files& files) {
  if (files.empty()) return fail("an image without a manifest");
  return read(*files.back().second, [&](const std::string& name) -> Result<Ref<HostFd>> {
    const auto it = std::ranges::find(files, name, &Files::value_type::first);
    if (it == files.end()) return Err(ENOENT);
    return it->second->readonly();
  });
}

OrFailure<Image> Image::read(const HostFd& manifest, const FindFile& find) {
  const uint64_t size = TRY(size_of(manifest, "image manifest"));
  if (size > kMaxManifest) return fail("image manifest: too long");
  std::string text(size, '\0');
  TRY(read_all(manifest, std::as_writable_bytes(std::span(text)), 0, "image manifest"));

  Image image;
  image.manifest_ = TRY(Manifest::parse(text));
  for (const Part& part : image.manifest_.parts) {
    auto opened = find(part.name);
    if (!opened) return cannot(part_text(part.name), opened.error());
    const uint64_t found = TRY(size_of(**opened, part_text(part.name)));
    if (found != part.size) {
      return fail(
          fmt::format("{}: {} bytes instead of {}", part_text(part.name), found, part.size));
    }
    image.files_[part.name] = *opened;
  }
  return image;
}

OrFailure<void> Image::open_base(const std::string& dir, int depth) {
  if (!manifest_.base) return {};
  const Base& base = *manifest_.base;
  const std::string path = base.path.starts_with('/') ? base.path : beside(dir, base.path);
  if (depth == kMaxBases) return fail(path + ": too many images that refer to others");
  auto opened = open(path, depth + 1);
  constexpr std::string_view kAbout = "an image that it refers to: ";
  if (!opened && opened.error().message.starts_with(kAbout)) return fail(opened.error().message);
  if (!opened) return fail(fmt::format("{}{}", kAbout, opened.error().message));
  if (opened->manifest().checksum != base.checksum) {
    return fail(fmt::format("{}{}: it is another one now", kAbout, path));
  }
  base_ = std::make_shared<const Image>(*std::move(opened));
  return {};
}

OrFailure<Image::Opened> Image::find(std::string_view name) const {
  const auto it = files_.find(name);
  if (it == files_.end()) return fail(part_text(name) + ": missing");
  return Opened{*manifest_.find(name), it->second};  // All files are.
}

OrFailure<Ref<HostFd>> Image::plain_file(const Opened& opened) const {
  if (!opened.part.compressed) return opened.file;
  const std::string what = part_text(opened.part.name);
  auto frames = FrameReader::open(opened.file, opened.part.size, opened.part.plain_size);
  if (!frames) return fail(what + ": " + frames.error().message);
  const Ref<HostFd> file = TRY(memory_file_of(opened.part.plain_size, what));
  uint64_t at = 0;
  for (size_t i = 0; i < frames->count(); i++) {
    auto piece = frames->read(i);
    if (!piece) return fail(what + ": " + piece.error().message);
    TRY(write_data(*file, *piece, at, what));
    at += piece->size();
  }
  return file;
}

OrFailure<uint64_t> Image::length(std::string_view name) const {
  const Part* part = manifest_.find(name);
  if (!part) return 0;
  return part->map.empty() ? part->plain_size : TRY(map_of(*part)).size();
}

OrFailure<PageMap> Image::map_of(const Part& part) const {
  const std::string text = TRY(read(part.map));
  const uint64_t base = base_ ? TRY(base_->length(part.name)) : 0;
  auto map = PageMap::decode(text, part.plain_size, base);
  if (!map) return fail(part_text(part.map) + ": " + map.error().message);
  return map;
}

OrFailure<Ref<HostFd>> Image::file(std::string_view part) const {
  if (const auto it = made_.find(part); it != made_.end()) return it->second;
  const Opened opened = TRY(find(part));
  const std::string what = part_text(part);
  Ref<HostFd> own = TRY(plain_file(opened));
  if (!opened.part.map.empty()) {
    const PageMap map = TRY(map_of(opened.part));
    const Ref<HostFd> base = base_ ? TRY(base_->file(part)) : Ref<HostFd>();
    const Ref<HostFd> whole = TRY(memory_file_of(map.size(), what));
    uint64_t at = 0;
    for (const PageMap::Run& run : map.runs()) {
      TRY(copy_data(run.from_base ? *base : *own, run.offset, *whole, at, run.length, what));
      at += run.length;
    }
    own = whole;
  }
  // Who maps it is not to write to it.
  auto shared = own->readonly();
  if (!shared) return cannot(what, shared.error());
  own = *std::move(shared);
  made_[std::string(part)] = own;
  return own;
}

OrFailure<std::string> Image::read(std::string_view part) const {
  const Opened opened = TRY(find(part));
  std::string bytes(opened.part.size, '\0');
  TRY(read_all(*opened.file, std::as_writable_bytes(std::span(bytes)), 0, part_text(part)));
  if (Checksum::of(bytes) != opened.part.checksum) {
    return fail(part_text(part) + ": wrong checksum");
  }
  if (!opened.part.map.empty()) return fail(part_text(part) + ": it refers to another image");
  if (!opened.part.compressed) return bytes;
  const Ref<HostFd> plain = TRY(plain_file(opened));
  bytes.resize(opened.part.plain_size);
  TRY(read_all(*plain, std::as_writable_bytes(std::span(bytes)), 0, part_text(part)));
  return bytes;
}

OrFailure<void> Image::verify(std::string_view part) const {
  const Opened opened = TRY(find(part));
  const Part& listed = opened.part;
  ImageCheck check;
  check.add(part_text(part), listed, opened.file);
  TRY(check.step(UINT64_MAX));
  if (!listed.map.empty()) TRY(map_of(listed));
  if (!listed.compressed) return {};
  auto frames = FrameReader::open(opened.file, listed.size, listed.plain_size);
  if (!frames) return fail(part_text(part) + ": " + frames.error().message);
  for (size_t i = 0; i < frames->count(); i++) {
    auto piece = frames->read(i);
    if (!piece) return fail(part_text(part) + ": " + piece.error().message);
  }
  return {};
}

OrFailure<void> Image::verify() const {
  for (const Part& part : manifest_.parts) TRY(verify(part.name));
  if (!base_) return {};
  auto whole = base_->verify();
  if (!whole) return fail(fmt::format("{}: {}", manifest_.base->path, whole.error().message));
  return {};
}

void Image::check(std::string_view part, ImageCheck& with) const {
  if (const auto own = find(part)) with.add(part_text(part), own->part, own->file);
  if (base_) base_->check(part, with);
}

PartWriter::PartWriter(std::string name, Ref<HostFd> file, bool compressed)
    : name_(std::move(name)), file_(std::move(file)), compressed_(compressed) {
  if (!compressed) return;
  frames_ = std::make_unique<FrameWriter>(
      [this](std::span<const std::byte> bytes) { return write(bytes); });
}

OrFailure<void> PartWriter::append(std::span<const std::byte> bytes) {
  if (notes_ && !base_) note(bytes);
  size_ += bytes.size();
  if (!base_) return put(bytes);
  while (!bytes.empty()) {
    // Of pages that are new as many at a time as there are.
    size_t fresh = 0;
    std::optional<uint64_t> found;
    while (fresh < bytes.size()) {
      const auto page = bytes.subspan(fresh, std::min(bytes.size() - fresh, kPageSize));
      if (page.size() == kPageSize) found = base_->find(page);
      if (found) break;
      fresh += page.size();
    }
    map_.add(fresh, false, plain_size_);
    if (fresh > 0) TRY(put(bytes.first(fresh)));
    bytes = bytes.subspan(fresh);
    if (notes_) notes_->fresh += fresh;
    if (!found) return {};
    map_.add(kPageSize, true, *found);
    bytes = bytes.subspan(kPageSize);
    if (notes_) notes_->found += kPageSize;
  }
  return {};
}

void PartWriter::expect(uint64_t size) {
  if (notes_ && !base_) notes_->pages.reserve(size / kPageSize);
}

void PartWriter::note(std::span<const std::byte> bytes) {
  notes_->fresh += bytes.size();
  for (size_t i = 0; i + kPageSize <= bytes.size(); i += kPageSize) {
    notes_->pages.add(PageIndex::hash(bytes.subspan(i, kPageSize)), size_ + i);
  }
}

OrFailure<void> PartWriter::put(std::span<const std::byte> bytes) {
  plain_size_ += bytes.size();
  return frames_ ? frames_->append(bytes) : write(bytes);
}

OrFailure<void> PartWriter::write(std::span<const std::byte> bytes) {
  checksum_.add(bytes);
  TRY(write_all(*file_, bytes, file_size_, "writing " + part_text(name_)));
  file_size_ += bytes.size();
  return {};
}

OrFailure<void> PartWriter::finish() {
  if (!frames_) return {};
  TRY(frames_->finish());
  frames_.reset();
  return {};
}

OrFailure<void> PartWriter::append(std::string_view bytes) {
  return append(std::as_bytes(std::span(bytes)));
}

OrFailure<void> PartWriter::skip(uint64_t length) {
  size_ += length;
  if (base_) map_.add(length, false, plain_size_);
  plain_size_ += length;
  static constexpr std::array<std::byte, kPageSize> kZeros{};
  if (!frames_) file_size_ += length;
  while (length > 0) {
    const auto piece = std::span(kZeros).first(std::min<uint64_t>(length, kZeros.size()));
    if (frames_) {
      TRY(frames_->append(piece));
    } else {
      checksum_.add(piece);
    }
    length -= piece.size();
  }
  return {};
}

void PartWriter::leave_out(uint64_t length) {
  size_ += length, plain_size_ += length, file_size_ += length;
}

Part PartWriter::part() const {
  return {.name = name_,
          .size = file_size_,
          .checksum = checksum_.value(),
          .compressed = compressed_,
          .plain_size = plain_size_,
          .map = base_ ? kPagesMap : ""};
}

}  // namespace usk::state
