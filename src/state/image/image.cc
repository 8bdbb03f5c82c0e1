#include "state/image/image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <cstring>

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

std::string part_text(std::string_view name) { return fmt::format("image part {}", name); }

}  // namespace

OrFailure<Image> Image::open(const std::string& dir) {
  auto place = host::open_dir(dir);
  if (!place) return cannot(dir, place.error());
  auto file = host::open_beneath(**place, "manifest", O_RDONLY | O_NONBLOCK);
  if (failed_with(file, ENOENT)) return fail(dir + ": not an image (it has no manifest)");
  if (!file) return cannot(dir + "/manifest", file.error());
  return read(**file, [&](const std::string& name) {
    return host::open_beneath(**place, name, O_RDONLY | O_NONBLOCK);
  });
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

OrFailure<Ref<HostFd>> Image::file(std::string_view part) const {
  const auto it = files_.find(part);
  if (it == files_.end()) return fail(part_text(part) + ": missing");
  return it->second;
}

OrFailure<std::string> Image::read(std::string_view part) const {
  const Ref<HostFd> file = TRY(this->file(part));
  const Part& listed = *manifest_.find(part);  // All files are.
  std::string bytes(listed.size, '\0');
  TRY(read_all(*file, std::as_writable_bytes(std::span(bytes)), 0, part_text(part)));
  if (Checksum::of(bytes) != listed.checksum) return fail(part_text(part) + ": wrong checksum");
  return bytes;
}

OrFailure<void> Image::verify(std::string_view part) const {
  const Ref<HostFd> file = TRY(this->file(part));
  const Part& listed = *manifest_.find(part);
  Checksum checksum;
  std::vector<std::byte> buffer(std::min<uint64_t>(listed.size, 1 << 20));
  for (uint64_t at = 0; at < listed.size; at += buffer.size()) {
    const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), listed.size - at));
    TRY(read_all(*file, piece, at, part_text(part)));
    checksum.add(piece);
  }
  if (checksum.value() != listed.checksum) return fail(part_text(part) + ": wrong checksum");
  return {};
}

OrFailure<void> Image::verify() const {
  for (const Part& part : manifest_.parts) TRY(verify(part.name));
  return {};
}

OrFailure<void> PartWriter::append(std::span<const std::byte> bytes) {
  checksum_.add(bytes);
  while (!bytes.empty()) {
    const auto n = host::pwrite(*file_, bytes, size_);
    if (!n) return cannot("writing " + part_text(name_), n.error());
    size_ += *n;
    bytes = bytes.subspan(*n);
  }
  return {};
}

OrFailure<void> PartWriter::append(std::string_view bytes) {
  return append(std::as_bytes(std::span(bytes)));
}

OrFailure<void> PartWriter::skip(uint64_t length) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  size_ += length;
  while (length > 0) {
    const auto piece = std::span(kZeros).first(std::min<uint64_t>(length, kZeros.size()));
    checksum_.add(piece);
    length -= piece.size();
  }
  return {};
}

OrFailure<void> PartWriter::append_from(const HostFd& from, uint64_t offset, uint64_t length) {
  std::vector<std::byte> buffer(std::min<uint64_t>(length, 256 << 10));
  while (length > 0) {
    const auto piece = std::span(buffer).first(std::min<uint64_t>(buffer.size(), length));
    TRY(read_all(from, piece, offset, part_text(name_)));
    TRY(append(piece));
    offset += piece.size();
    length -= piece.size();
  }
  return {};
}

}  // namespace usk::state
